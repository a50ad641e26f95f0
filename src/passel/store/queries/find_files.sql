select org_id, id, filename, media_type, size_bytes, sha256, created_at from file where org_id = $1 and id = any($2::text[]) and not doomed
