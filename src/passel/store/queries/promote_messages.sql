-- The next message in line of sessions whose active one has just ended, under the sessions' locks.
with next as (
    select distinct on (session_id) id, session_id
    from message
    where session_id = any($1::text[]) and state = 'lined'
    order by session_id, number
), promoted as (
    update message m set state = 'ready', ready_at = $2 from next where m.id = next.id
    returning m.id, m.session_id, m.kind, m.lane_id
)
update session s
set active_message_id = p.id, lined = s.lined - 1
from promoted p
where s.id = p.session_id and s.active_message_id is null
returning s.id, p.id as message_id, p.kind, p.lane_id
