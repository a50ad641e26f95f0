-- The batches that this transaction counts, and those with a cap of their own that admission may count.
select id
from batch
where id in (
    select unnest($1::text[])
    union
    select bl.batch_id
    from batch_lane bl
    join batch b on b.id = bl.batch_id
    where bl.lane_id = any($2::bigint[]) and bl.held > 0 and b.max_concurrency is not null
)
order by id
for update
