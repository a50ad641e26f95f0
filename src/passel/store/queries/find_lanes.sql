select id, name, used_at from lane where org_id = $1 and name = any($2::text[])
