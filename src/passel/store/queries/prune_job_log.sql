delete from pgqueuer_log where id in (select id from pgqueuer_log where created < $1 order by id limit 50000)
