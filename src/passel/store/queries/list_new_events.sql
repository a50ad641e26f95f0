-- What followers of many ledgers have not seen yet, for each at most 200 events and about 256 KiB of them.
select w.follower, e.org_id, e.session_id, e.seq, e.message_id, e.type, e.data, e.created_at
from unnest($1::text[], $2::int[]) with ordinality as w (session_id, after, follower)
cross join lateral (
    select *, sum(pg_column_size(page.data)) over (order by page.seq) - pg_column_size(page.data) as bytes_before
    from (
        select org_id, session_id, seq, message_id, type, data, created_at
        from event
        where session_id = w.session_id and seq > w.after
        order by seq
        limit 200
    ) page
) e
where e.bytes_before < 262144
order by w.follower, e.seq
