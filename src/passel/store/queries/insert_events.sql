-- Events of one session, under its lock. Wakes its followers.
with told as (
    insert into event (org_id, session_id, seq, message_id, type, data, created_at)
    select $1, $2, e.*, $7
    from unnest($3::int[], $4::text[], $5::text[], $6::jsonb[]) as e (seq, message_id, type, data)
)
select pg_notify('passel_told', $2)
