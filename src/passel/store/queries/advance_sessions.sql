-- A worker's write. No row back: the lease is lost, or this very write was committed before (see written_steps).
-- A message that ends as the session's last one turns the session idle, which is one more event.
update session s
set step = s.step + 1,
    last_seq = s.last_seq + a.events + case when a.ending is not null and s.last_message_id = a.message_id then 1 else 0 end,
    active_message_id = case when a.ending is null then s.active_message_id end,
    last_message_status = case when a.ending is not null and s.last_message_id = a.message_id then a.ending else s.last_message_status end,
    status = case when a.ending is not null and s.last_message_id = a.message_id then 'idle' else s.status end
from unnest($1::text[], $2::int[], $3::int[], $4::int[], $5::text[], $6::text[])
    as a (id, fence, step, events, message_id, ending)
where s.id = a.id and s.fence = a.fence and s.step = a.step and s.active_message_id = a.message_id
returning s.id, s.last_seq, s.last_message_id = a.message_id as was_last, s.lane_id
