-- Locks the batches that this transaction counts, and those with a cap of their own that admission into the lanes $15
-- may count. A batch whose last item has ended is done, unless it is being cancelled: then that goes on until nothing of
-- it is alive. Places are counted only where a cap asks for them, since only capped batches are locked by admission.
with locked as (
    select id, finished_at as was
    from batch
    where id in (
        select unnest($1::text[])
        union
        select bl.batch_id
        from batch_lane bl
        join batch b on b.id = bl.batch_id
        where bl.lane_id = any($15::bigint[]) and bl.held > 0 and b.max_concurrency is not null
    )
    order by id
    for update
)
update batch b
set queued = b.queued + d.queued,
    running = b.running + d.running,
    completed = b.completed + d.completed,
    failed = b.failed + d.failed,
    cancelled = b.cancelled + d.cancelled,
    active = b.active + case when b.max_concurrency is null then 0 else d.active end,
    calls = b.calls + d.calls,
    in_doubt = b.in_doubt + d.in_doubt,
    unpriced = b.unpriced + d.unpriced,
    input_tokens = b.input_tokens + d.input_tokens,
    output_tokens = b.output_tokens + d.output_tokens,
    cost_usd = b.cost_usd + d.cost_usd,
    state = case when b.queued + d.queued + b.running + d.running = 0 and b.state <> 'cancelling' then 'done' else b.state end,
    finished_at = case when b.queued + d.queued + b.running + d.running = 0 then coalesce(b.finished_at, $14) end,
    finishes = b.finishes + case when b.queued + d.queued + b.running + d.running = 0 and b.finished_at is null then 1 else 0 end
from unnest($1::text[], $2::int[], $3::int[], $4::int[], $5::int[], $6::int[], $7::int[], $8::bigint[], $9::bigint[],
            $10::bigint[], $11::bigint[], $12::bigint[], $13::numeric[])
    as d (id, queued, running, completed, failed, cancelled, active, calls, in_doubt, unpriced, input_tokens, output_tokens, cost_usd)
join locked k on k.id = d.id
where b.id = d.id
returning b.id, b.finished_at is not null and k.was is null as finished
