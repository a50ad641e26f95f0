-- All that is known of deliveries when they are sent: the webhook as it is now, the event that is told of, the session that
-- it stands in, and up to where every delivery of the scope has ended.
select d.org_id, d.id, d.subject_id, d.scope_id, d.sequence, d.type, d.event_seq, d.told_seq, d.created_at,
       w.kind, w.url, w.sealed, w.previous, w.previous_until, d.webhook_id = w.id as same_webhook,
       e.message_id as event_message_id, e.type as event_type, e.data as event_data, e.created_at as event_created_at,
       s.spec, s.metadata,
       coalesce(
           (select min(o.sequence) - 1 from delivery o join message m on m.id = o.message_id
            where o.scope_id = d.scope_id and m.ended_at is null),
           (select max(o.sequence) from delivery o where o.scope_id = d.scope_id)
       ) as watermark
from delivery d
left join webhook w on w.subject_id = d.subject_id
left join event e on e.session_id = d.scope_id and e.seq = d.event_seq
left join session s on s.id = d.scope_id
where d.id = any($1::text[])
