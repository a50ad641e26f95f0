-- Files that nothing has named until $1, and those that an earlier sweep has not removed yet.
with stale as (
    select id from file where used_at is null and created_at < $1
    order by created_at
    limit $2
    for update skip locked
)
update file f set doomed = true from stale where f.id = stale.id
returning f.org_id, f.id, f.filename, f.media_type, f.size_bytes, f.sha256, f.created_at
