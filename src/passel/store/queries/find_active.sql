select active_message_id from session where id = $1
