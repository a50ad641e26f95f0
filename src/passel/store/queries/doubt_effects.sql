-- Effects that an ended attempt left open: what came of them is unknown, and they may cost.
update effect e
set state = 'in_doubt', ended_at = $3
from unnest($1::text[], $2::text[]) as m (session_id, message_id)
where e.session_id = m.session_id and e.message_id = m.message_id and e.state = 'started'
returning e.id, e.session_id, e.message_id, e.attempt, e.kind, e.name, e.number, e.request_hash, e.detail
