-- Files that a message names stay for good. Locked by id, so that two requests with the same files do not block each other.
with fresh as (
    select id from file
    where org_id = $1 and id = any($2::text[]) and used_at is null and not doomed
    order by id
    for no key update
)
update file f set used_at = $3 from fresh where f.id = fresh.id
