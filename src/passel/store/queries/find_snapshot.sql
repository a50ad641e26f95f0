select org_id, id, sha256, size_bytes, status, failure_reason, expires_at, blob_path from source_snapshot where id = $1
