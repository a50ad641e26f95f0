delete from worker where id = any($1::bigint[])
