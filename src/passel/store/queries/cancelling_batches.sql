select id from batch where state = 'cancelling' order by id limit 100
