select id from webhook where subject_id = $1 for update
