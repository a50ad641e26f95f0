-- The ledger knows a session's messages; most have one, and an index only for this would cost every turn.
select m.org_id, m.id, m.session_id, m.kind, m.number, m.state, m.tries as attempt, m.result, m.error, m.reason, m.wake_at, m.created_at, m.ended_at
from event e
join message m on m.id = e.message_id
where e.session_id = $1 and e.type = 'message.requested' and m.number > $2
order by m.number
limit $3
