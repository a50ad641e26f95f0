insert into effect (org_id, id, session_id, message_id, attempt, kind, name, number, request_hash, detail, started_at, state)
select e.*, 'started'
from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::int[], $6::text[], $7::text[], $8::int[], $9::text[], $10::jsonb[], $11::timestamptz[])
    as e (org_id, id, session_id, message_id, attempt, kind, name, number, request_hash, detail, started_at)
