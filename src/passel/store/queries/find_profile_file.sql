select file_id from browser_profile where org_id = $1 and name = $2
