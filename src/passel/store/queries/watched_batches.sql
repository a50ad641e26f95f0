-- Batches, locked by the caller, whose subject has a webhook.
select b.org_id, b.id, b.kind, b.subject_id, b.queued, b.running, b.completed, b.failed, w.id as webhook_id, w.lane_id, w.event_types
from batch b
join webhook w on w.subject_id = b.subject_id and w.kind = b.kind
where b.id = any($1::text[])
order by b.id
