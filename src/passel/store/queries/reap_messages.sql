-- What dead workers had in their hands. How much each message is suspected of having killed its worker:
--   1  it only waited for the outside: it goes on at once with everybody. Its open effect says so; throttled messages
--      (deliveries) do nothing else and have none
--   2  it was being worked on, or died with a worker a second time: it runs in a small group apart
--   3  it died in such a group, or thereafter: it runs alone, and a worker that dies with nothing else in its hands
--      is its doing
with taken as (
    select m.id,
           case when m.throttled or exists (
               select from effect e where e.session_id = m.session_id and e.message_id = m.id and e.state = 'started'
           ) then m.suspicion + 1 else greatest(m.suspicion + 1, 2) end as suspicion,
           m.suspicion >= 3 and not exists (
               select from message o where o.worker_id = m.worker_id and o.state = 'running' and o.id <> m.id
           ) as alone
    from message m
    where m.worker_id = any($1::bigint[]) and m.state = 'running'
    order by m.id
    for update of m
)
update message m
set state = case when t.suspicion > 1 then 'suspect' else 'ready' end,
    suspicion = t.suspicion,
    lost = m.lost + t.alone::int,
    ready_at = $2, worker_id = null
from taken t
where m.id = t.id
returning m.id, m.session_id, m.kind, m.lane_id, m.batch_id, m.item_index, m.item_try, m.outcome, m.state
