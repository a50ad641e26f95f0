-- One more message for each of these deliveries that has none under way; it waits for its place in the lane $3.
with idle as (
    select s.org_id, s.id, a.message_id
    from unnest($1::text[], $2::text[]) as a (id, message_id)
    join session s on s.id = a.id
    where s.active_message_id is null
    order by s.id
    for update of s
), extended as (
    update session s
    set last_seq = s.last_seq + 2, message_count = s.message_count + 1, active_message_id = i.message_id, last_message_id = i.message_id
    from idle i
    where s.id = i.id
    returning s.org_id, s.id, s.kind, s.last_seq, s.message_count, i.message_id
), messages as (
    insert into message (org_id, id, session_id, kind, number, state, lane_id, priority, throttled, created_at)
    select org_id, message_id, id, kind, message_count, 'held', $3, 1, true, $5 from extended
), told as (
    insert into event (org_id, session_id, seq, message_id, type, data, created_at)
    select org_id, id, last_seq - 1, message_id, 'message.requested', '{"again": true}', $5 from extended
    union all
    select org_id, id, last_seq, null, 'session.state', $4::jsonb, $5 from extended
)
select id from extended
