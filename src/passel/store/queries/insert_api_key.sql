insert into api_key (org_id, id, label, prefix, scopes, device_name, created_at, secret_hash) values ($1, $2, $3, $4, $5, $6, $7, $8)
