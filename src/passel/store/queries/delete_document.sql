delete from document where org_id = $1 and id = $2 returning id
