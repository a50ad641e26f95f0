-- A safety net, under the lanes' locks: places follow from the messages that hold them.
update lane l
set active = c.active, parked = c.parked
from (
    select k.id,
           (select count(*)::int from message where state = 'ready' and lane_id = k.id)
         + (select count(*)::int from message where state = 'suspect' and lane_id = k.id)
         + (select count(*)::int from message where state = 'running' and lane_id = k.id) as active,
           (select count(*)::int from message where state in ('waiting', 'delayed') and lane_id = k.id) as parked
    from unnest($1::bigint[]) as k (id)
) c
where l.id = c.id and (l.active, l.parked) is distinct from (c.active, c.parked)
returning l.id, l.name
