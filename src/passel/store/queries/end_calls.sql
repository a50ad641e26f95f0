update model_call m
set state = c.state,
    input_tokens = c.input_tokens,
    output_tokens = c.output_tokens,
    cache_read_tokens = c.cache_read_tokens,
    cost_usd = c.cost_usd,
    error = c.error,
    ended_at = c.ended_at
from unnest($1::text[], $2::int[], $3::text[], $4::bigint[], $5::bigint[], $6::bigint[], $7::numeric[], $8::text[], $9::timestamptz[])
    as c (id, fence, state, input_tokens, output_tokens, cache_read_tokens, cost_usd, error, ended_at)
where m.id = c.id and m.fence = c.fence and m.state = 'started'
