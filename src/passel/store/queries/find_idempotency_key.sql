select session_id, seq, request_hash from idempotency_key where scope = $1 and key = $2
