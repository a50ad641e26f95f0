-- A safety net, under the lanes' locks: places follow from the messages that hold them.
with counted as (
    select lane_id, count(*) filter (where state in ('ready', 'suspect', 'running'))::int as active,
           count(*) filter (where state in ('waiting', 'delayed'))::int as parked
    from (
        select lane_id, state from message where state = 'ready'
        union all select lane_id, state from message where state = 'suspect'
        union all select lane_id, state from message where state = 'running'
        union all select lane_id, state from message where state in ('waiting', 'delayed')
    ) m
    where lane_id = any($1::bigint[])
    group by lane_id
)
update lane l
set active = coalesce(c.active, 0), parked = coalesce(c.parked, 0)
from unnest($1::bigint[]) as k (id)
left join counted c on c.lane_id = k.id
where l.id = k.id and (l.active, l.parked) is distinct from (coalesce(c.active, 0), coalesce(c.parked, 0))
returning l.id, l.name
