-- What a transaction counts: places of lanes ($1-$3), items and bills of batches ($4-$16), and what batches hold back in
-- lanes ($17-$19), locked in that order. Also locks the batches with a cap of their own that admission into these lanes
-- may count. A batch whose last item has ended is done, unless it is being cancelled: then that goes on until nothing of it
-- is alive. A batch's places are counted only where a cap asks for them, since only capped batches are locked by admission.
with lanes as materialized (
    select id, vtime from lane where id = any($1::bigint[]) order by id for no key update
), in_lanes as (
    update lane l
    set active = l.active + d.active, parked = l.parked + d.parked, used_at = $20
    from unnest($1::bigint[], $2::int[], $3::int[]) as d (id, active, parked)
    where l.id = d.id
), batches as materialized (
    select id, finished_at as was
    from batch
    where (select count(*) from lanes) >= 0 and id in (
        select unnest($4::text[])
        union
        select bl.batch_id
        from batch_lane bl
        join batch b on b.id = bl.batch_id
        where bl.lane_id = any($1::bigint[]) and bl.held > 0 and b.max_concurrency is not null
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
        state = case when b.queued + d.queued + b.running + d.running = 0 and b.state <> 'cancelling' then 'done' else b.state end,
        finished_at = case when b.queued + d.queued + b.running + d.running = 0 then coalesce(b.finished_at, $20) end,
        finishes = b.finishes + case when b.queued + d.queued + b.running + d.running = 0 and b.finished_at is null then 1 else 0 end
    from unnest($4::text[], $5::int[], $6::int[], $7::int[], $8::int[], $9::int[], $10::int[], $11::bigint[], $12::bigint[],
                $13::bigint[], $14::bigint[], $15::bigint[], $16::numeric[])
        as d (id, queued, running, completed, failed, cancelled, active, calls, in_doubt, unpriced, input_tokens, output_tokens, cost_usd)
    join batches k on k.id = d.id
    where b.id = d.id
    returning b.id, b.kind, b.subject_id, b.finished_at is not null and k.was is null as finished
), in_batch_lanes as (
    -- a batch that holds something back anew starts at the lane's time: what it missed is past
    update batch_lane bl
    set held = bl.held + d.held,
        pass = case when bl.held = 0 and d.held > 0 then greatest(bl.pass, l.vtime) else bl.pass end
    from unnest($17::text[], $18::bigint[], $19::int[]) as d (batch_id, lane_id, held)
    join lanes l on l.id = d.lane_id
    where bl.batch_id = d.batch_id and bl.lane_id = d.lane_id
)
select f.id, w.subject_id is not null as watched
from in_batches f
left join webhook w on w.subject_id = f.subject_id and w.kind = f.kind
where f.finished
