select org_id, name, id, created_at, updated_at from credential where org_id = $1 order by name
