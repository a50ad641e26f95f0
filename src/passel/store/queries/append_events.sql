-- Append to ledgers, those of the organisations too, wake their followers, and give out the numbers under the sessions' rows. A message that ends with none
-- in line behind it turns the session idle, which is one more event ($9, of the session itself); one that is put off or
-- waits stays the active one. There is a row for each webhook that watches it, at
-- least one for each session.
with numbered as (
    update session s
    set last_seq = s.last_seq + a.events + case when a.ended and s.lined = 0 then 1 else 0 end,
        active_message_id = case when not a.ended then s.active_message_id end
    from unnest($1::text[], $2::text[], $3::int[], $4::bool[]) as a (id, message_id, events, ended)
    where s.id = a.id
    returning s.org_id, s.id, s.kind, s.subject_id, s.batch_id is not null as of_batch, a.message_id, s.last_seq, a.ended and s.lined = 0 as idle
), told as (
    insert into event (org_id, session_id, seq, message_id, type, data, created_at)
    select n.org_id, n.id, n.last_seq - n.idle::int - e.before_last, n.message_id, e.type, e.data, $10
    from unnest($5::text[], $6::int[], $7::text[], $8::jsonb[]) as e (session_id, before_last, type, data)
    join numbered n on n.id = e.session_id
), idle as (
    insert into event (org_id, session_id, seq, message_id, type, data, created_at)
    select org_id, id, last_seq, null, 'session.state', $9::jsonb, $10 from numbered where idle
), listed as (
    insert into org_event (org_id, ids, firsts, lasts, created_at)
    select n.org_id, array_agg(n.id), array_agg(n.last_seq - n.idle::int - a.events + 1), array_agg(n.last_seq), $10
    from numbered n
    join unnest($1::text[], $3::int[]) as a (id, events) using (id)
    group by n.org_id
), woken as (
    -- a payload has room for 8,000 bytes
    select pg_notify('passel_told', string_agg(id, ','))
    from (select id, row_number() over () / 150 as part from (select id from numbered union all select distinct org_id from numbered) i) n
    group by part
)
select n.id, n.last_seq - n.idle::int as last, n.idle, n.of_batch, n.kind, w.subject_id, w.id as webhook_id, w.lane_id, w.event_types,
       w.batch_items
from numbered n
left join webhook w on w.watches = coalesce(n.subject_id, n.org_id) and w.kind = n.kind and w.disabled_at is null
cross join (select count(*) from woken) rung
