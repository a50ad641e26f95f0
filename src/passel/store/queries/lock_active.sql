-- Of these messages, those that have not ended and stand in no line, locked in the order of their ids.
select id
from message
where id = any($1::text[]) and state in ('held', 'ready', 'suspect', 'running', 'waiting', 'delayed')
order by id
for update
