-- Lanes that have room and something held back: the feeder's list.
select l.id
from lane l
left join unnest($1::text[], $2::int[]) as w (class, capacity) on w.class = l.class
where coalesce(l.capacity, w.capacity, $3::int) > l.active
  and (exists (
    select from batch_lane bl join batch b on b.id = bl.batch_id
    where bl.lane_id = l.id and bl.held > 0 and b.state <> 'cancelling'
      and (b.max_concurrency is null or b.active < b.max_concurrency)
  ) or exists (select from message m where m.lane_id = l.id and m.state = 'held' and m.throttled))
order by l.id
limit 100
