-- Events of one session, under its lock, and the organisation's ledger with them. Wakes their followers.
with told as (
    insert into event (org_id, session_id, seq, message_id, type, data, created_at)
    select $1, $2, e.*, $7
    from unnest($3::int[], $4::text[], $5::text[], $6::jsonb[]) as e (seq, message_id, type, data)
), listed as (
    insert into org_event (org_id, ids, firsts, lasts, created_at)
    select $1, array[$2], array[min(seq)], array[max(seq)], $7 from unnest($3::int[]) as e (seq)
)
select pg_notify('passel_told', $2 || ',' || $1)
