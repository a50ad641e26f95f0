insert into upload (org_id, id, filename, format, items, created_at, expires_at) values ($1, $2, $3, $4, $5, $6, $7)
