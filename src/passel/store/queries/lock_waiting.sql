-- Of these messages, those that wait for something from outside, locked in the order of their ids.
select id, state from message where id = any($1::text[]) and state = 'waiting' order by id for update
