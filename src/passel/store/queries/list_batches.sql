select * from batch where org_id = $1 and kind = $2 and state <> 'deleting' and ($3::text is null or id < $3) order by id desc limit $4
