insert into api_key (org_id, id, label, prefix, secret_hash, created_at) values ($1, $2, $3, $4, $5, $6)
