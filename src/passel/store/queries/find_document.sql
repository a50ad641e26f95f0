select org_id, id, title, url, dated, characters, passages, created_at from document where id = $1
