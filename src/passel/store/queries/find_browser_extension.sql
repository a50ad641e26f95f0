select org_id, id, name, manifest, file_id, created_at from browser_extension where id = $1
