select * from batch where org_id = $1 and kind = $2 and idempotency_key = $3 and state <> 'deleting'
