-- The fence rises, so a running attempt can write nothing more.
update session s
set fence = s.fence + 1,
    step = 0,
    last_seq = s.last_seq + 1 + case when s.last_message_id = c.message_id then 1 else 0 end,
    active_message_id = null,
    last_message_status = case when s.last_message_id = c.message_id then 'failed' else s.last_message_status end,
    status = case when s.last_message_id = c.message_id then 'idle' else s.status end
from unnest($1::text[], $2::text[]) as c (id, message_id)
where s.id = c.id and s.active_message_id = c.message_id
returning s.org_id, s.id, s.last_seq, c.message_id, s.last_message_id = c.message_id as was_last, s.lane_id
