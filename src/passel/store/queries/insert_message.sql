insert into message (org_id, id, session_id, kind, number, state, lane_id, priority, ready_at, created_at)
values ($1, $2, $3, $4, $5, $6, $7, 0, $8, $8)
