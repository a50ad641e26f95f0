-- The messages with which these sessions wait for a moment, locked in the order of their ids.
select m.id, m.state
from session s
join message m on m.id = s.active_message_id
where s.id = any($1::text[]) and m.state = 'delayed'
order by m.id
for update of m
