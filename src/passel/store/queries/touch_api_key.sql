update api_key set last_used_at = $2 where id = $1
