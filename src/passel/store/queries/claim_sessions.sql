-- Begin an attempt: the fence rises, so whatever an older attempt still writes meets no row.
-- A job names its message; one that was finished or cancelled meanwhile is not claimed.
update session s
set fence = s.fence + 1,
    step = 0,
    last_seq = s.last_seq + 1,
    last_message_status = case when s.last_message_id = j.message_id then 'running' else s.last_message_status end
from unnest($1::text[], $2::text[]) as j (session_id, message_id)
where s.id = j.session_id and s.active_message_id = j.message_id
returning s.org_id, s.id, s.fence, s.last_seq, j.message_id, s.version_id, s.llm_id, s.secrets
