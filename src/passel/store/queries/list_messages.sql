select org_id, id, session_id, number, state, attempt, error, created_at, completed_at
from message
where session_id = $1
order by number
