-- Items of a batch from index $2 on, in input order, with what was asked and what came of it.
select i.index, i.session_id, s.spec, m.id as message_id, m.state, m.outcome, m.cancelled, m.tries, m.result, m.error, m.created_at, m.ended_at,
       e.data ->> 'content' as content
from item i
join message m on m.id = i.message_id
join session s on s.id = i.session_id
join event e on e.session_id = i.session_id and e.seq = 1
where i.batch_id = $1 and i.index >= $2
order by i.index
limit $3
