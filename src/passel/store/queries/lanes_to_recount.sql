-- Lanes whose places are not what the messages say, without a lock: some may only be changing just now.
with counted as (
    select lane_id, count(*) filter (where state in ('ready', 'suspect', 'running')) as active,
           count(*) filter (where state in ('waiting', 'delayed')) as parked
    from (
        select lane_id, state from message where state = 'ready'
        union all select lane_id, state from message where state = 'suspect'
        union all select lane_id, state from message where state = 'running'
        union all select lane_id, state from message where state in ('waiting', 'delayed')
    ) m
    group by lane_id
)
select l.id
from lane l
left join counted c on c.lane_id = l.id
where (l.active, l.parked) is distinct from (coalesce(c.active, 0)::int, coalesce(c.parked, 0)::int)
order by l.id
limit 100
