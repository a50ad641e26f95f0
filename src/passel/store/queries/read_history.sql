select org_id, session_id, seq, message_id, type, data, created_at
from event
where session_id = $1 and seq <= $2
order by seq
