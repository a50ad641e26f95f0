select org_id, id, session_id, number, state, attempt, error, created_at, completed_at from message where id = $1
