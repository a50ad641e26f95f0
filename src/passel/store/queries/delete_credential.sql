delete from credential where org_id = $1 and name = $2 returning org_id, name, id, created_at, updated_at
