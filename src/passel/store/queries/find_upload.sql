select org_id, id, filename, format, items, created_at, expires_at
from upload
where org_id = $1 and id = $2 and items > 0 and used_at is null and expires_at > $3
