-- Sessions that others ($1) begin, each with its first message: of a batch it is held back by that, though it is no item; else it
-- is ready. They take over the metadata. Tells their ledgers, and wakes who follows.
with asked as (
    select p.org_id, p.metadata, a.*, a.batch_id is not null as of_batch
    from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::bigint[], $7::text[], $8::jsonb[], $9::jsonb[])
        as a (parent_id, id, message_id, kind, lane, lane_id, batch_id, spec, request)
    join session p on p.id = a.parent_id
), sessions as (
    insert into session (org_id, id, kind, spec, metadata, lane, batch_id, last_seq, message_count, active_message_id, last_message_id, created_at)
    select org_id, id, kind, spec, metadata, lane, batch_id, 2, 1, message_id, message_id, $11 from asked
), messages as (
    insert into message (org_id, id, session_id, kind, number, state, lane_id, batch_id, priority, ready_at, created_at)
    select org_id, message_id, id, kind, 1, case when of_batch then 'held' else 'ready' end, lane_id, batch_id, of_batch::int,
           case when not of_batch then $11::timestamptz end, $11
    from asked
), told as (
    insert into event (org_id, session_id, seq, message_id, type, data, created_at)
    select org_id, id, 1, message_id, 'message.requested', request, $11 from asked
    union all
    select org_id, id, 2, null, 'session.state', $10::jsonb, $11 from asked
), listed as (
    insert into org_event (org_id, ids, firsts, lasts, created_at)
    select org_id, array_agg(id), array_agg(1), array_agg(2), $11 from asked group by org_id
)
select pg_notify('passel_told', org_id) from asked group by org_id
