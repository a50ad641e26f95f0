-- A page of items with what the ledger and the calls say of each one's message.
with page as (
    select i.index, i.state, i.session_id, i.message_id, i.error, i.request, i.finished_at
    from item i
    where i.batch_id = $1 and i.index > $2
    order by i.index
    limit $3
), said as (
    select e.message_id,
           string_agg(block ->> 'text', '' order by e.seq, n) as text
    from page p
    join event e on e.session_id = p.session_id and e.message_id = p.message_id and e.type = 'assistant.message_completed'
    cross join lateral jsonb_array_elements(e.data -> 'content') with ordinality as b (block, n)
    group by e.message_id
), spent as (
    select c.message_id, count(*) as calls, count(*) filter (where c.state = 'in_doubt') as in_doubt,
           sum(c.input_tokens)::bigint as input_tokens, sum(c.output_tokens)::bigint as output_tokens,
           sum(c.cost_usd) as cost_usd, max(c.model) as model, min(c.started_at) as started_at, max(c.provider) as provider
    from page p
    join model_call c on c.session_id = p.session_id and c.message_id = p.message_id
    group by c.message_id
)
select p.*, s.agent_id, s.version_id, s.llm_id, s.metadata, said.text, m.attempt, m.created_at as message_created_at,
       coalesce(spent.calls, 0) as calls, coalesce(spent.in_doubt, 0) as in_doubt,
       coalesce(spent.input_tokens, 0) as input_tokens, coalesce(spent.output_tokens, 0) as output_tokens,
       spent.cost_usd, spent.started_at, spent.model, spent.provider
from page p
left join session s on s.id = p.session_id
left join message m on m.id = p.message_id
left join said on said.message_id = p.message_id
left join spent on spent.message_id = p.message_id
order by p.index
