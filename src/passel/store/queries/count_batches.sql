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
    state = case when b.queued + d.queued + b.running + d.running = 0 then 'done' else b.state end,
    finished_at = case when b.queued + d.queued + b.running + d.running = 0 then coalesce(b.finished_at, $13) end
from unnest($1::text[], $2::int[], $3::int[], $4::int[], $5::int[], $6::int[], $7::int[], $8::bigint[], $9::bigint[],
            $10::bigint[], $11::bigint[], $12::numeric[], $14::bigint[])
    as d (id, queued, running, completed, failed, cancelled, active, calls, in_doubt, input_tokens, output_tokens, cost_usd, unpriced)
where b.id = d.id
