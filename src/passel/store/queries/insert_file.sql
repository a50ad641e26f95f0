insert into file (org_id, id, filename, media_type, size_bytes, sha256, created_at, unused_since)
values ($1, $2, $3, $4, $5, $6, $7, $7)
