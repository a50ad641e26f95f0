-- What comes back is what is billed: an effect that has ended already, or is another attempt's, changes nothing.
update effect e
set state = o.state,
    input_tokens = o.input_tokens,
    output_tokens = o.output_tokens,
    cache_read_tokens = o.cache_read_tokens,
    cost_usd = o.cost_usd,
    error = o.error,
    ended_at = o.ended_at
from unnest($1::text[], $2::text[], $3::int[], $4::text[], $5::bigint[], $6::bigint[], $7::bigint[], $8::numeric[], $9::text[], $10::timestamptz[])
    as o (id, message_id, attempt, state, input_tokens, output_tokens, cache_read_tokens, cost_usd, error, ended_at)
where e.id = o.id and e.message_id = o.message_id and e.attempt = o.attempt and e.state = 'started'
returning e.id
