insert into event (org_id, session_id, seq, message_id, type, data, created_at)
select e.*, $7
from unnest($1::text[], $2::text[], $3::int[], $4::text[], $5::text[], $6::jsonb[])
    as e (org_id, session_id, seq, message_id, type, data)
