-- The first event of a session is the request of its first message.
select i.index, i.try, i.request, i.session_id, coalesce(i.error, m.error) as error,
       s.spec, s.metadata, s.lane, s.secrets, e.data as requested,
       array(select u.file_id from file_use u where u.holder_id = i.session_id) as file_ids
from item i
left join message m on m.id = i.message_id
left join session s on s.id = i.session_id
left join event e on e.session_id = i.session_id and e.seq = 1
where i.batch_id = $1 and i.index > $2 and coalesce(m.outcome, m.state, 'failed') = 'failed'
order by i.index
limit $3
