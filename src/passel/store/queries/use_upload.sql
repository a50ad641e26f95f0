-- Of two batches that want the same file one gets it; if that transaction fails the file is unused again.
update upload set used_at = $3 where org_id = $1 and id = $2 and items > 0 and used_at is null and expires_at > $3 returning id
