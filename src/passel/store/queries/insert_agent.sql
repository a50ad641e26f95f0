insert into agent (org_id, id, name, active_version_id, created_at) values ($1, $2, $3, $4, $5)
