-- Writes of attempts: a step of one that goes on (`state` and `outcome` null), the settling of its item, its end. No row
-- back: the lease is lost, or this very write was committed before. Locks by id, so no two transactions cross. What has
-- made progress is suspected of nothing any more. A settled item keeps the result that it was settled with.
with asked as (
    select a.*, m.outcome as settled
    from unnest($1::text[], $2::int[], $3::int[], $4::text[], $5::text[], $6::jsonb[], $7::text[], $8::text[], $9::timestamptz[], $10::bool[])
        as a (id, attempt, step, state, outcome, result, error, reason, wake_at, progress)
    join message m on m.id = a.id
    order by m.id
    for update of m
)
update message m
set step = a.step,
    state = coalesce(a.state, m.state),
    outcome = coalesce(m.outcome, a.outcome),
    result = case when m.outcome is null then coalesce(a.result, m.result) else m.result end,
    error = coalesce(a.error, m.error),
    reason = a.reason,
    wake_at = a.wake_at,
    suspicion = case when a.progress then 0 else m.suspicion end,
    lost = case when a.progress then 0 else m.lost end,
    worker_id = case when a.state is null then m.worker_id end,
    ended_at = case when a.state in ('completed', 'failed') then $11::timestamptz end
from asked a
where m.id = a.id and m.attempt = a.attempt and m.state = 'running' and m.step < a.step
returning m.id, a.settled
