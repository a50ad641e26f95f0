insert into source_snapshot (org_id, id, sha256, size_bytes, metadata, status, created_at, expires_at)
values ($1, $2, $3, $4, $5, 'pending_upload', $6, $7)
