select org_id, id, name, active_version_id, created_at, deleted_at
from agent
where org_id = $1 and deleted_at is null and ($2::text is null or id > $2)
order by id
limit $3
