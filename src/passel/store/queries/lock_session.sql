select org_id, id, kind, subject_id, lane, closed, active_message_id from session where id = $1 for update
