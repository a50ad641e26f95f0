select id from batch where state = 'deleting' order by id limit 100
