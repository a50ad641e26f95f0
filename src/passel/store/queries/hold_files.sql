-- Files that are about to be named: no sweep dooms them before this transaction ends. Locked by id, shared with all others
-- that name them.
select org_id, id, filename, media_type, size_bytes, sha256, created_at
from file
where org_id = $1 and id = any($2::text[]) and not doomed
order by id
for key share
