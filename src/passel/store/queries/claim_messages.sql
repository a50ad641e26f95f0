-- Begin an attempt of messages that this transaction has chosen and locked. The attempt rises, so whatever an older
-- one still writes meets no row, and the ledger says that it began. A worker that was given up for dead begins nothing.
with alive as (
    select id from worker where id = $2 for key share
), claimed as (
    update message m
    set state = 'running', attempt = m.attempt + 1, tries = m.tries + (not m.resuming)::int, resuming = false, step = 0, worker_id = w.id
    from alive w
    where m.id = any($1::text[])
    returning m.id, m.session_id, m.attempt, m.tries as number, m.lost, m.lane_id, m.batch_id, m.item_index, m.item_try, m.outcome
), numbered as (
    update session s
    set last_seq = s.last_seq + 1
    from claimed m
    where s.id = m.session_id
    returning s.org_id, s.id as session_id, s.kind, s.subject_id, s.spec, s.secrets, s.last_seq,
              m.id as message_id, m.attempt, m.number, m.lost, m.lane_id, m.batch_id, m.item_index, m.item_try, m.outcome
), told as (
    insert into event (org_id, session_id, seq, message_id, type, data, created_at)
    select org_id, session_id, last_seq, message_id, $3, $4::jsonb || jsonb_build_object('attempt', number), $5
    from numbered
), listed as (
    insert into org_event (org_id, ids, firsts, lasts, created_at)
    select org_id, array_agg(session_id), array_agg(last_seq), array_agg(last_seq), $5 from numbered group by org_id
), woken as (
    select pg_notify('passel_told', string_agg(id, ','))
    from (
        select id, row_number() over () / 150 as part
        from (select session_id as id from numbered union all select distinct org_id from numbered) i
    ) n
    group by part
)
select org_id, session_id, kind, subject_id, spec, secrets, message_id, attempt, number, lost, lane_id, batch_id, item_index, item_try, outcome
from numbered, (select count(*) from woken) w
