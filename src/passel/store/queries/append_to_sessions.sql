-- Give out event numbers. A message that ends as the session's last one turns the session idle, which is one more
-- event; one that is put off or waits stays the active one.
update session s
set last_seq = s.last_seq + a.events + case when a.ended and s.last_message_id = a.message_id then 1 else 0 end,
    active_message_id = case when not a.ended then s.active_message_id end
from unnest($1::text[], $2::int[], $3::text[], $4::bool[]) as a (id, events, message_id, ended)
where s.id = a.id
returning s.id, s.last_seq, s.last_message_id = a.message_id as was_last
