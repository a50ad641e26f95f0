-- A safety net, under the lanes' locks: slots follow from the messages that are active.
update lane l
set active = c.active
from (
    select l2.id, count(a.lane_id)::int as active
    from lane l2
    left join (
        select s.lane_id from message m join session s on s.id = m.session_id where m.state in ('ready', 'running')
    ) a on a.lane_id = l2.id
    where l2.id = any($1::bigint[])
    group by l2.id
) c
where l.id = c.id and l.active <> c.active
returning l.id, l.name
