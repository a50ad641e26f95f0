-- What webhooks are to be told, written with what causes it: sessions of the kind `webhook`, each with one message that waits
-- for its place in the lane. The caller holds the locks of the scopes ($6: sessions, batches), so their sequences have no gaps.
with asked as (
    select a.*, d.last + row_number() over (partition by a.scope_id order by a.nth) as sequence
    from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::bigint[], $6::text[], $7::text[], $8::int[], $9::jsonb[], $13::text[])
        with ordinality as a (org_id, id, message_id, subject_id, lane_id, scope_id, type, event_seq, request, webhook_id, nth)
    cross join lateral (select coalesce(max(sequence), 0) as last from delivery where scope_id = a.scope_id) d
), sessions as (
    insert into session (org_id, id, kind, subject_id, spec, metadata, lane, last_seq, message_count, active_message_id, last_message_id, created_at)
    select org_id, id, $10, subject_id, '{}', '{}', $10 || '/' || subject_id, 2, 1, message_id, message_id, $12 from asked
), messages as (
    insert into message (org_id, id, session_id, kind, number, state, lane_id, priority, throttled, created_at)
    select org_id, message_id, id, $10, 1, 'held', lane_id, 1, true, $12 from asked
), told as (
    insert into event (org_id, session_id, seq, message_id, type, data, created_at)
    select org_id, id, 1, message_id, 'message.requested', request, $12 from asked
    union all
    select org_id, id, 2, null, 'session.state', $11::jsonb, $12 from asked
)
insert into delivery (org_id, id, message_id, subject_id, webhook_id, scope_id, sequence, type, event_seq, created_at)
select org_id, id, message_id, subject_id, webhook_id, scope_id, sequence, type, event_seq, $12 from asked
