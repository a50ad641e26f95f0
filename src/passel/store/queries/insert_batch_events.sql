-- Rows of a batch's ledger from number $11 on, under its lock, and the organisation's ledger with them. Wakes their followers.
with told as (
    insert into batch_event (org_id, batch_id, last_seq, changes, queued, running, completed, failed, status, created_at)
    select $1, $2, e.*, $10
    from unnest($3::int[], $4::jsonb[], $5::int[], $6::int[], $7::int[], $8::int[], $9::text[])
        as e (last_seq, changes, queued, running, completed, failed, status)
), listed as (
    insert into org_event (org_id, of_batches, ids, firsts, lasts, created_at)
    select $1, true, array[$2], array[$11::int], array[max(last_seq)], $10 from unnest($3::int[]) as e (last_seq)
)
select pg_notify('passel_told', $2 || ',' || $1)
