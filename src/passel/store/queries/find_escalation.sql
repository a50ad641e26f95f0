-- A verification that a person was asked to decide.
select m.session_id, m.id as message_id, m.batch_id, m.item_index, m.result, m.ended_at as escalated_at, e.data ->> 'content' as content
from session s
join message m on m.id = s.last_message_id
join event e on e.session_id = s.id and e.seq = 1
where s.id = $2 and s.org_id = $1 and s.kind = 'verification' and m.result ->> 'escalation' is not null and not m.result ? 'reused'
