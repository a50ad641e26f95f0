select org_id, id, session_id, kind, number, state, attempt - resumes as attempt, result, error, reason, wake_at, created_at, ended_at from message where id = $1
