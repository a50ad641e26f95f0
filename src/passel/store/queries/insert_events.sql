insert into event (org_id, session_id, seq, message_id, type, source, data, created_at)
select e.*, $8
from unnest($1::text[], $2::text[], $3::int[], $4::text[], $5::text[], $6::text[], $7::jsonb[])
    as e (org_id, session_id, seq, message_id, type, source, data)
