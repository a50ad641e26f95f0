-- Ended messages as they are, as those of another session. They belong to no batch there, and nobody asks for them again.
insert into message (
    org_id, id, session_id, kind, number, state, lane_id, priority, attempt, step, tries, outcome, cancelled, result, error,
    created_at, ended_at
)
select m.org_id, c.copy, $1, m.kind, m.number, m.state, m.lane_id, 0, m.attempt, m.step, m.tries, m.outcome, m.cancelled, m.result, m.error,
       m.created_at, m.ended_at
from unnest($2::text[], $3::text[]) as c (id, copy)
join message m on m.id = c.id
