-- A session's ledger is told that a delivery about it was given up: once, since who does it locks the delivery first.
with untold as (
    select id, scope_id from delivery where id = $1 and told_seq is null for update
), numbered as (
    update session s set last_seq = s.last_seq + 1 from untold u where s.id = u.scope_id
    returning s.org_id, s.id, s.last_seq
), noted as (
    update delivery d set told_seq = n.last_seq from numbered n where d.id = $1
), listed as (
    insert into org_event (org_id, ids, firsts, lasts, created_at)
    select org_id, array[id], array[last_seq], array[last_seq], $4 from numbered
)
insert into event (org_id, session_id, seq, message_id, type, data, created_at)
select org_id, id, last_seq, null, $2, $3::jsonb, $4 from numbered
returning seq, pg_notify('passel_told', session_id || ',' || org_id)
