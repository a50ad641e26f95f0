-- The state of a later message of the session is looked up only where there is one.
select i.index, i.try, i.session_id, i.message_id, i.request, coalesce(i.error, m.error) as error,
       coalesce(m.outcome, m.state, 'failed') as state, m.reason, m.wake_at,
       case when s.last_message_id = i.message_id then m.state
            else (select l.state from message l where l.id = s.last_message_id) end as last_message_state,
       s.subject_id, s.spec, s.metadata
from item i
left join message m on m.id = i.message_id
left join session s on s.id = i.session_id
where i.batch_id = $1 and i.index > $2
order by i.index
limit $3
