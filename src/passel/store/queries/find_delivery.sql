select org_id, id, scope_id, sequence, type, event_seq, created_at, status, wake_at, error
from delivery_log
where id = $2 and subject_id = $1
