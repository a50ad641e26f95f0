update source_snapshot set status = $2, failure_reason = $3 where id = $1 and status = 'pending_upload'
returning org_id, id, sha256, size_bytes, status, failure_reason, expires_at
