select org_id, subject_id, id, kind, watches, batch_items, description, disabled_at, lane_id, url, event_types, sealed, previous, previous_until, created_at, updated_at
from webhook where subject_id = $1
