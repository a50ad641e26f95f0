-- Rows of a batch's ledger, under its lock. Wakes its followers.
with told as (
    insert into batch_event (org_id, batch_id, last_seq, changes, queued, running, completed, failed, status, created_at)
    select $1, $2, e.*, $10
    from unnest($3::int[], $4::jsonb[], $5::int[], $6::int[], $7::int[], $8::int[], $9::text[])
        as e (last_seq, changes, queued, running, completed, failed, status)
)
select pg_notify('passel_told', $2)
