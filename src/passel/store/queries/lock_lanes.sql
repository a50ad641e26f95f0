select id from lane where id = any($1::bigint[]) order by id for no key update
