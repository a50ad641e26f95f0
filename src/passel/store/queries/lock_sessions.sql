select org_id, id, kind, subject_id, lane, closed, lined, active_message_id from session where id = any($1::text[]) order by id for update
