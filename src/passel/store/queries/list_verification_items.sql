-- Items of a batch with what was asked and what came of it, in input order; filters where not null. `total` are all that match.
with found as (
    select i.index, i.session_id, i.message_id
    from item i
    join message m on m.id = i.message_id
    where i.batch_id = $1
      and ($2::text[] is null or case when m.cancelled then 'skipped'
                                      when m.state in ('completed', 'failed') then m.state
                                      when m.state in ('running', 'waiting', 'delayed') then 'processing'
                                      when m.state = 'held' then 'pending'
                                      else 'queued' end = any($2))
      and ($3::text[] is null or m.result ->> 'verdict' = any($3))
      and ($4::text[] is null or m.result ->> 'decision' = any($4))
), page as (
    select * from found order by index limit $5 offset $6
)
select p.index, p.session_id, s.spec, p.message_id, m.state, m.outcome, m.cancelled, m.tries, m.result, m.error, m.created_at, m.ended_at,
       e.data ->> 'content' as content, t.total
from (select count(*) as total from found) t
left join page p on true
left join message m on m.id = p.message_id
left join session s on s.id = p.session_id
left join event e on e.session_id = p.session_id and e.seq = 1
order by p.index
