-- Fill the room of lanes, under their locks. Batches of a lane take turns: each has a pass that counts what it has
-- been given, a new one starts at the lane's virtual time, and the lowest passes go first. So a batch of three
-- gets its share beside a batch of a million (start-time fair queueing). What is throttled and of no batch stands in its
-- lane in the order of its ids; no lane has both. Wakes the workers of what became ready.
with room as (
    select l.id as lane_id,
           greatest(coalesce(l.capacity, w.capacity, $4::int) - l.active, 0) as room
    from lane l
    left join unnest($2::text[], $3::int[]) as w (class, capacity) on w.class = l.class
    where l.id = any($1::bigint[])
), offered as (
    select r.lane_id, r.room, o.batch_id, o.pass, o.batch_room
    from room r
    cross join lateral (
        select bl.batch_id, bl.pass, b.max_concurrency - b.active as batch_room
        from batch_lane bl
        join batch b on b.id = bl.batch_id
        where bl.lane_id = r.lane_id and bl.held > 0 and b.state <> 'cancelling'
          and (b.max_concurrency is null or b.active < b.max_concurrency)
        order by bl.pass
        limit least(r.room, 1000)
    ) o
), shared as (
    -- each batch offers its share and some; what that leaves open the feeder fills
    select f.*, f.room / count(*) over (partition by f.lane_id) + 32 as share from offered f
), candidate as (
    select f.lane_id, f.room, f.batch_id, f.batch_room, m.id,
           f.pass + row_number() over (partition by f.lane_id, f.batch_id order by m.item_index) as pass
    from shared f
    cross join lateral (
        select id, item_index
        from message
        where batch_id = f.batch_id and lane_id = f.lane_id and state = 'held'
        order by item_index
        limit least(f.room, f.batch_room, f.share)
    ) m
), within_batch as (
    select c.*, row_number() over (partition by batch_id order by pass, lane_id) as nth_of_batch from candidate c
), within_lane as (
    select w.*, row_number() over (partition by lane_id order by pass, batch_id) as nth_of_lane
    from within_batch w
    where batch_room is null or nth_of_batch <= batch_room
), chosen as (
    -- a cancellation may hold some of them: it ends them, and nobody waits
    select m.id, w.pass
    from within_lane w
    join message m on m.id = w.id
    where w.nth_of_lane <= w.room and m.state = 'held'
    for update of m skip locked
), admitted as (
    update message m set state = case when m.suspicion > 1 then 'suspect' else 'ready' end, ready_at = $5 from chosen c
    where m.id = c.id and m.state = 'held'
    returning m.batch_id, m.lane_id, m.kind, c.pass
), alone as (
    select m.id
    from room r
    cross join lateral (
        select id from message where lane_id = r.lane_id and state = 'held' and throttled order by id limit r.room for update skip locked
    ) m
), admitted_alone as (
    update message m set state = case when m.suspicion > 1 then 'suspect' else 'ready' end, ready_at = $5 from alone a
    where m.id = a.id and m.state = 'held'
    returning m.lane_id, m.kind, null::bigint as pass
), moved as (
    update batch_lane bl set held = bl.held - g.n, pass = g.pass
    from (select batch_id, lane_id, count(*)::int as n, max(pass) as pass from admitted group by 1, 2) g
    where bl.batch_id = g.batch_id and bl.lane_id = g.lane_id
), counted as (
    update batch b set active = b.active + g.n
    from (select batch_id, count(*)::int as n from admitted group by 1) g
    where b.id = g.batch_id and b.max_concurrency is not null
), filled as (
    update lane l set active = l.active + g.n, vtime = greatest(l.vtime, g.pass)
    from (
        select lane_id, count(*)::int as n, coalesce(max(pass), 0) as pass
        from (select lane_id, pass from admitted union all select lane_id, pass from admitted_alone) a
        group by 1
    ) g
    where l.id = g.lane_id
)
select kind, count(*)::int as n, pg_notify('passel_ready', kind)
from (select kind from admitted union all select kind from admitted_alone) a
group by kind
