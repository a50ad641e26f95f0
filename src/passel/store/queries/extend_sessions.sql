-- Give out more event numbers, under a lock that is held already.
update session s
set last_seq = s.last_seq + n.events
from unnest($1::text[], $2::int[]) as n (id, events)
where s.id = n.id
returning s.id, s.last_seq
