-- What was looked at is what counts: another upload in between makes this a no.
update source_snapshot set status = $2, failure_reason = $3
where id = $1 and status = 'pending_upload' and blob_path is not distinct from $4
returning org_id, id, sha256, size_bytes, status, failure_reason, expires_at, blob_path
