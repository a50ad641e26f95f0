select version, thinned, size from fact_shelf where org_id = $1
