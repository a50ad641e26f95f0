delete from fact where org_id = $1 and id = $2
