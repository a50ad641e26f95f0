select exists (select from document where org_id = $1)
