select e.session_id, e.message_id, m.number, e.data, e.created_at
from event e
join message m on m.id = e.message_id
where e.session_id = any($1::text[]) and e.type = $2
order by e.session_id, e.seq
