select * from batch where org_id = $1 and ($2::text is null or id < $2) order by id desc limit $3
