-- Batches, locked by the caller, with each webhook that watches them.
select b.org_id, b.id, b.kind, w.subject_id, b.cancel_requested_at is not null as cancelled, b.queued, b.running, b.completed, b.failed, w.id as webhook_id, w.lane_id, w.event_types, w.batch_items
from batch b
join webhook w on w.watches = coalesce(b.subject_id, b.org_id) and w.kind = b.kind and w.disabled_at is null
where b.id = any($1::text[])
order by b.id, w.subject_id
