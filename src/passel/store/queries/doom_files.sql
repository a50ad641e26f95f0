-- Under the files' locks, which were taken by a statement before: uses that were committed until then are seen. A file that
-- is used after all is looked at again when a use of it has gone. Also those come back that an earlier sweep has doomed and
-- not removed yet.
update file f
set doomed = not u.used, unused_since = case when not u.used then f.unused_since end
from (
    select id, exists (select from file_use where file_id = id) as used from unnest($1::text[]) as f (id)
) u
where f.id = u.id
returning f.org_id, f.id, f.filename, f.media_type, f.size_bytes, f.sha256, f.created_at, f.doomed
