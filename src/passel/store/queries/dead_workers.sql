-- Silent for $1, or for $2 with its connection gone too (the lock that it holds in a connection of its own is free).
select w.id, w.name
from worker w
where w.seen_at < clock_timestamp() - $1::interval
   or (w.seen_at < clock_timestamp() - $2::interval and pg_try_advisory_xact_lock($3::int, w.id::int))
order by w.id
for update of w skip locked
