select org_id, session_id, seq, message_id, type, data, created_at
from event
where session_id = any($1::text[])
order by session_id, seq
