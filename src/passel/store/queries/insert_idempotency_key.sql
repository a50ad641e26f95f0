insert into idempotency_key (org_id, scope, key, request_hash, session_id, seq, created_at)
values ($1, $2, $3, $4, $5, $6, $7)
on conflict (scope, key) do nothing
returning key
