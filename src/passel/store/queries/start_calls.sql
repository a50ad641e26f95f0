insert into model_call (org_id, id, session_id, message_id, fence, attempt, number, provider, model, request_hash, state, started_at)
select c.org_id, c.id, c.session_id, c.message_id, c.fence, c.attempt, c.number, c.provider, c.model, c.request_hash, 'started', c.started_at
from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::int[], $6::int[], $7::int[], $8::text[], $9::text[], $10::text[], $11::timestamptz[])
    as c (org_id, id, session_id, message_id, fence, attempt, number, provider, model, request_hash, started_at)
