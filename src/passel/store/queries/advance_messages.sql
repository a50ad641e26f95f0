-- Writes of attempts: a step of one that goes on (`state` and `outcome` null), the settling of its item, its end, and the
-- effects that it begins ($13-$20). No row back: the lease is lost, or this very write was committed before. Locks by id, so
-- no two transactions cross. What has made progress is suspected of nothing any more. A settled item keeps the result that
-- it was settled with.
with asked as (
    select a.*, m.outcome as settled
    from unnest($1::text[], $2::int[], $3::int[], $4::text[], $5::text[], $6::jsonb[], $7::text[], $8::text[], $9::timestamptz[], $10::bool[], $11::bool[])
        as a (id, attempt, step, state, outcome, result, error, reason, wake_at, progress, resumes)
    join message m on m.id = a.id
    order by m.id
    for update of m
), advanced as (
    update message m
    set step = a.step,
        state = coalesce(a.state, m.state),
        outcome = coalesce(m.outcome, a.outcome),
        result = case when m.outcome is null then coalesce(a.result, m.result) else m.result end,
        error = coalesce(a.error, m.error),
        reason = a.reason,
        wake_at = a.wake_at,
        resuming = a.resumes,
        suspicion = case when a.progress then 0 else m.suspicion end,
        lost = case when a.progress then 0 else m.lost end,
        worker_id = case when a.state is null then m.worker_id end,
        ended_at = case when a.state in ('completed', 'failed') then $12::timestamptz end
    from asked a
    where m.id = a.id and m.attempt = a.attempt and m.state = 'running' and m.step < a.step
    returning m.org_id, m.id, m.session_id, m.attempt, a.settled
), begun as (
    insert into effect (org_id, id, session_id, message_id, attempt, kind, name, number, request_hash, detail, started_at, state)
    select d.org_id, e.id, d.session_id, d.id, d.attempt, e.kind, e.name, e.number, e.request_hash, e.detail, e.started_at, 'started'
    from unnest($13::text[], $14::text[], $15::text[], $16::text[], $17::int[], $18::text[], $19::jsonb[], $20::timestamptz[])
        as e (message_id, id, kind, name, number, request_hash, detail, started_at)
    join advanced d on d.id = e.message_id
)
select id, settled from advanced
