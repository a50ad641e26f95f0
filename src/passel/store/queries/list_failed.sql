-- The first event of a session is the request of its first message. Where $4 also items that were settled well and failed afterwards.
select i.index, i.try, i.request, i.session_id, coalesce(i.error, m.error) as error, coalesce(m.outcome, m.state, 'failed') as state,
       s.spec, s.metadata, s.lane, s.secrets, e.data as requested,
       array(select u.file_id from file_use u where u.holder_id = i.session_id) as file_ids
from item i
left join message m on m.id = i.message_id
left join session s on s.id = i.session_id
left join event e on e.session_id = i.session_id and e.seq = 1
where i.batch_id = $1 and i.index > $2
  and (coalesce(m.outcome, m.state, 'failed') = 'failed' or ($4 and m.outcome = 'completed' and m.state = 'failed' and m.error is not null))
order by i.index
limit $3
