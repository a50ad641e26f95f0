-- No row back: another request with this key made the batch (and has committed, since this waited for it).
insert into batch (org_id, id, kind, subject_id, idempotency_key, request_hash, max_concurrency, spec, expires_at, state, size, queued, running, completed, failed, created_at)
values ($1, $2, $3, $4, $5, $6, $7, $9, $10, 'open', 0, 0, 0, 0, 0, $8)
on conflict (org_id, kind, idempotency_key) where idempotency_key is not null do nothing
returning id
