select * from batch where org_id = $1 and idempotency_key = $2
