-- Keep lanes from being swept. One that is locked is in use anyway, so nobody is waited for.
update lane set used_at = $2
where id in (select id from lane where id = any($1::bigint[]) order by id for no key update skip locked)
