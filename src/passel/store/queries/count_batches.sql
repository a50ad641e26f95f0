-- What a transaction counts of batches, after its lanes are locked: items and bills ($1-$14) with the transitions that tell
-- of it ($15, $16), and what batches hold back in lanes ($17-$19). Also locks the batches with a cap of their own that
-- admission into the lanes $20 may count: a statement of its own, since these are known for sure under the lanes' locks
-- only. A batch whose last item has ended is done, unless it is being cancelled: then that goes on until nothing of it is
-- alive. Returns the batches whose end a webhook
-- is to be told. Places are counted only where a cap asks for them, since only capped batches are locked by admission.
with batches as materialized (
    select id, finished_at as was, batch_status(queued, running, completed, failed) as status
    from batch
    where id in (
        select unnest($1::text[])
        union
        select bl.batch_id
        from batch_lane bl
        join batch b on b.id = bl.batch_id
        where bl.lane_id = any($20::bigint[]) and bl.held > 0 and b.max_concurrency is not null
    )
    order by id
    for update
), in_batches as (
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
        charged = b.charged + d.charged,
        state = case when b.queued + d.queued + b.running + d.running = 0 and b.state = 'open' then 'done' else b.state end,
        finished_at = case when b.queued + d.queued + b.running + d.running = 0 then coalesce(b.finished_at, $21) end,
        finishes = b.finishes + case when b.queued + d.queued + b.running + d.running = 0 and b.finished_at is null then 1 else 0 end,
        last_event = b.last_event + d.told + (
            k.status <> batch_status(b.queued + d.queued, b.running + d.running, b.completed + d.completed, b.failed + d.failed)
        )::int
    from unnest($1::text[], $2::int[], $3::int[], $4::int[], $5::int[], $6::int[], $7::int[], $8::bigint[], $9::bigint[],
                $10::bigint[], $11::bigint[], $12::bigint[], $13::numeric[], $14::bigint[], $15::int[],
                $16::jsonb[])
        as d (id, queued, running, completed, failed, cancelled, active, calls, in_doubt, unpriced, input_tokens, output_tokens, cost_usd,
              charged, told, changes)
    join batches k on k.id = d.id
    where b.id = d.id
    returning b.org_id, b.id, b.kind, b.subject_id, b.finished_at is not null and k.was is null as finished, b.last_event, d.told, d.changes,
              b.queued, b.running, b.completed, b.failed, k.status as was
), told as (
    insert into batch_event (org_id, batch_id, last_seq, changes, queued, running, completed, failed, status, created_at)
    select org_id, id, last_event, changes, queued, running, completed, failed,
           nullif(batch_status(queued, running, completed, failed), was), $21
    from in_batches
    where told > 0
), listed as (
    -- the status has a number of its own
    insert into org_event (org_id, of_batches, ids, firsts, lasts, created_at)
    select org_id, true, array_agg(id), array_agg(last_event - told - (batch_status(queued, running, completed, failed) <> was)::int + 1),
           array_agg(last_event), $21
    from in_batches
    where told > 0
    group by org_id
), woken as (
    select pg_notify('passel_told', string_agg(id, ','))
    from (
        select id, row_number() over () / 150 as part
        from (select id from in_batches where told > 0 union all select distinct org_id from in_batches where told > 0) i
    ) n
    group by part
), in_batch_lanes as (
    -- a batch that holds something back anew starts at the lane's time: what it missed is past
    update batch_lane bl
    set held = bl.held + d.held,
        pass = case when bl.held = 0 and d.held > 0 then greatest(bl.pass, l.vtime) else bl.pass end
    from unnest($17::text[], $18::bigint[], $19::int[]) as d (batch_id, lane_id, held)
    join lane l on l.id = d.lane_id
    where bl.batch_id = d.batch_id and bl.lane_id = d.lane_id
)
select f.id
from in_batches f
join webhook w on w.watches = coalesce(f.subject_id, f.org_id) and w.kind = f.kind and w.disabled_at is null
cross join (select count(*) from woken) rung
where f.finished
