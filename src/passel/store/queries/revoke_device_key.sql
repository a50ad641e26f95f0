update api_key set revoked_at = $3 where org_id = $1 and device_name = $2 and revoked_at is null
returning id
