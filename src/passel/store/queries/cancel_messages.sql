-- Under the messages' locks, or for those in line under their session's. The attempt stands, but its state does not: a running worker can write nothing more. An
-- item that was settled before keeps what it was settled with. $4: that somebody wanted it so.
with was as (
    select id, state, outcome, worker_id from message where id = any($1::text[])
)
update message m
set state = 'failed',
    outcome = coalesce(m.outcome, 'failed'),
    error = case when m.outcome is null then $3 else m.error end,
    cancelled = $4 and m.outcome is null,
    reason = null, wake_at = null, worker_id = null, ended_at = $2
from was w
where m.id = w.id and m.state in ('held', 'lined', 'ready', 'suspect', 'running', 'waiting', 'delayed')
returning m.org_id, m.id, m.session_id, m.lane_id, m.batch_id, m.item_index, m.item_try, m.attempt, m.tries as number,
          w.state as previous, w.outcome, w.worker_id
