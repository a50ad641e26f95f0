-- Those that watch something, the oldest first.
select org_id, subject_id, id, kind, watches, batch_items, description, disabled_at, lane_id, url, event_types, sealed, previous, previous_until, created_at, updated_at
from webhook where watches = $1 and kind = $2
order by created_at, id
