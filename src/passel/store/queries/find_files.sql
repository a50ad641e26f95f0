select org_id, id, filename, media_type, size_bytes, sha256, created_at from file where id = any($1::text[])
