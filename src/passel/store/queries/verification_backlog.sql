-- Verifications that wait for a worker, of whatever organisation, as far as $1.
select count(*) from (select from message where kind = 'verification' and state = 'ready' limit $1) m
