-- Silent for $1, or for $2 with its connection gone too: the lock that it holds in a connection of its own is nobody's.
select w.id, w.name
from worker w
where w.seen_at < clock_timestamp() - $1::interval
   or (w.seen_at < clock_timestamp() - $2::interval and not exists (
        select from pg_locks l
        where l.locktype = 'advisory' and l.classid = $3::int::oid and l.objid = w.id::int::oid and l.objsubid = 2
          and l.database = (select oid from pg_database where datname = current_database())))
order by w.id
for update of w skip locked
