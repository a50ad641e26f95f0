-- Writes of attempts: a step of one that goes on (`state` and `outcome` null), the settling of its item, its end. No row
-- back: the lease is lost, or this very write was committed before. Locks by id, so no two transactions cross.
with asked as (
    select a.*, m.outcome as settled
    from unnest($1::text[], $2::int[], $3::int[], $4::text[], $5::text[], $6::jsonb[], $7::text[], $8::text[], $9::timestamptz[])
        as a (id, attempt, step, state, outcome, result, error, reason, wake_at)
    join message m on m.id = a.id
    order by m.id
    for update of m
)
update message m
set step = a.step,
    state = coalesce(a.state, m.state),
    outcome = coalesce(m.outcome, a.outcome),
    result = coalesce(a.result, m.result),
    error = coalesce(a.error, m.error),
    reason = a.reason,
    wake_at = a.wake_at,
    worker_id = case when a.state is null then m.worker_id end,
    ended_at = case when a.state in ('completed', 'failed') then $10::timestamptz end
from asked a
where m.id = a.id and m.attempt = a.attempt and m.state = 'running' and m.step < a.step
returning m.id, a.settled
