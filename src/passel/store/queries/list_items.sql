select i.index, i.state, i.session_id, i.message_id, i.error, i.request, s.last_message_status, s.agent_id, s.version_id, s.llm_id, s.metadata
from item i
left join session s on s.id = i.session_id
where i.batch_id = $1 and i.index > $2
order by i.index
limit $3
