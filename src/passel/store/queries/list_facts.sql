-- Newest first.
select id, text, polarity, source, date, created_at, version from fact where org_id = $1 order by id desc limit $2 offset $3
