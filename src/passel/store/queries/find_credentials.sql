select name, sealed from credential where org_id = $1 and name = any($2::text[])
