select began_at, made from browser_minute where org_id = $1
