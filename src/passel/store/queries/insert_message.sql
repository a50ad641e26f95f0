insert into message (org_id, id, session_id, number, state, created_at) values ($1, $2, $3, $4, $5, $6)
