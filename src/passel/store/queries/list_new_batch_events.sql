-- Rows of the ledgers of many batches that their followers have not seen whole, for each about 256 KiB of them.
select w.follower, e.batch_id, e.last_seq, e.changes, e.queued, e.running, e.completed, e.failed, e.status, e.created_at
from unnest($1::text[], $2::int[]) with ordinality as w (batch_id, after, follower)
cross join lateral (
    select *, sum(pg_column_size(page.changes)) over (order by page.last_seq) - pg_column_size(page.changes) as bytes_before
    from (
        select batch_id, last_seq, changes, queued, running, completed, failed, status, created_at
        from batch_event
        where batch_id = w.batch_id and last_seq > w.after
        order by last_seq
        limit 100
    ) page
) e
where e.bytes_before < 262144
order by w.follower, e.last_seq
