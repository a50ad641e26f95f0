-- Keep lanes from being swept, under their locks.
update lane set used_at = $2 where id = any($1::bigint[])
