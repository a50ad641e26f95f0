-- Under the session's lock: one more message, which is the active one or stands in line behind it.
update session
set last_seq = last_seq + $3,
    message_count = message_count + 1,
    lined = lined + (active_message_id is not null)::int,
    last_message_id = $2,
    active_message_id = coalesce(active_message_id, $2)
where id = $1
returning last_seq, message_count, active_message_id = $2 as is_active
