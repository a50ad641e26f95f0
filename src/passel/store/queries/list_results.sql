-- A page of items with the results of their messages and what these cost.
with page as (
    select i.index, i.try, i.session_id, i.message_id, i.request, i.error
    from item i
    where i.batch_id = $1 and i.index > $2
    order by i.index
    limit $3
), spent as (
    select e.message_id,
           count(*) filter (where e.state <> 'unsent') as calls,
           count(*) filter (where e.state = 'in_doubt') as in_doubt,
           count(*) filter (where e.state = 'done' and e.cost_usd is null) as unpriced,
           sum(e.input_tokens)::bigint as input_tokens, sum(e.output_tokens)::bigint as output_tokens,
           sum(e.cost_usd) as cost_usd, max(e.name) as name, min(e.started_at) as started_at
    from page p
    join effect e on e.session_id = p.session_id and e.message_id = p.message_id
    where e.state <> 'started'
    group by e.message_id
)
select p.index, p.try, p.session_id, p.message_id, p.request, coalesce(p.error, m.error) as error,
       coalesce(m.outcome, m.state, 'failed') as state, m.reason, m.wake_at, m.state as last_message_state,
       s.subject_id, s.spec, s.metadata,
       m.result, m.tries as attempt, m.created_at, m.ended_at,
       coalesce(spent.calls, 0) as calls, coalesce(spent.in_doubt, 0) as in_doubt, coalesce(spent.unpriced, 0) as unpriced,
       coalesce(spent.input_tokens, 0) as input_tokens, coalesce(spent.output_tokens, 0) as output_tokens,
       spent.cost_usd, spent.started_at, spent.name, f.id as follow_up, coalesce(l.outcome, l.state) as follow_state, l.result as follow_result,
       l.error as follow_error
from page p
left join message m on m.id = p.message_id
left join session s on s.id = p.session_id
left join spent on spent.message_id = p.message_id
left join session f on f.id = m.result ->> 'follow_up'
left join message l on l.id = f.last_message_id
order by p.index
