-- Lanes that have room and something held back: the feeder's list.
select l.id
from lane l
where coalesce(l.capacity, case when l.name like 'local:%' then $2::int else $1::int end) > l.active
  and exists (
    select from batch_lane bl join batch b on b.id = bl.batch_id
    where bl.lane_id = l.id and bl.held > 0 and b.state = 'open'
      and (b.max_concurrency is null or b.active < b.max_concurrency)
  )
order by l.id
limit 100
