-- Under the session's lock: the new message is the active one, or stands in line behind it.
update session
set last_seq = last_seq + 1 + case when status = 'running' then 0 else 1 end,
    message_count = message_count + 1,
    status = 'running',
    last_message_id = $2,
    last_message_status = 'queued',
    active_message_id = coalesce(active_message_id, $2)
where id = $1 and status in ('idle', 'running')
returning org_id, last_seq, message_count, active_message_id = $2 as is_active, lane_id, fence
