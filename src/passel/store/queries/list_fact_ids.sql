select id from fact where org_id = $1
