select split_part(dedupe_key, ':', 1) as message_id
from pgqueuer
where split_part(dedupe_key, ':', 1) = any($1::text[]) and status = 'picked' and queue_manager_id is distinct from $2
