select used from usage where org_id = $1 and kind = $2 and period = $3
