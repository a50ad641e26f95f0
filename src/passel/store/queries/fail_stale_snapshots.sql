-- Reservations that expired before $1 and were never finalized, and those that failed: nothing can be made of them.
with stale as (
    select s.id from source_snapshot s
    where s.status <> 'ready' and s.expires_at < $1
    order by s.expires_at
    limit $2
    for update skip locked
)
update source_snapshot s
set status = 'failed', failure_reason = coalesce(s.failure_reason, 'expired')
from stale where s.id = stale.id
returning s.org_id, s.id, s.sha256, s.size_bytes, s.status, s.failure_reason, s.expires_at, s.blob_path
