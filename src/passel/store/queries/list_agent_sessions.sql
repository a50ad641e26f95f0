select org_id, id, agent_id, version_id, name, metadata, llm_id, internet_access, status, last_seq, last_message_id, last_message_status, created_at
from session
where agent_id = $1 and ($2::text is null or id < $2)
order by id desc
limit $3
