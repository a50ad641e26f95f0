select count(*) as calls,
       count(*) filter (where state = 'in_doubt') as in_doubt,
       count(*) filter (where state = 'answered' and cost_usd is null) as unpriced,
       coalesce(sum(input_tokens), 0)::bigint as input_tokens,
       coalesce(sum(output_tokens), 0)::bigint as output_tokens,
       coalesce(sum(cost_usd), 0) as cost_usd
from model_call
where session_id = $1 and state <> 'started'
