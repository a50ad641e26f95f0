select sealed from credential where org_id = $1 and name = $2
