select count(*) filter (where state <> 'unsent') as calls,
       count(*) filter (where state = 'in_doubt') as in_doubt,
       count(*) filter (where state = 'done' and cost_usd is null) as unpriced,
       count(*) filter (where state = 'done' and cost_usd is not null) as priced,
       coalesce(sum(input_tokens), 0)::bigint as input_tokens,
       coalesce(sum(output_tokens), 0)::bigint as output_tokens,
       coalesce(sum(cost_usd), 0) as cost_usd
from effect
where session_id = $1 and state <> 'started'
