select org_id, id, agent_id, version_id, name, metadata, llm_id, internet_access, status, last_seq, last_message_id, last_message_status, created_at
from session
where id = $1
