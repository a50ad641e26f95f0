-- These batches, and those with a cap of their own that admission into these lanes may count.
select id
from batch
where id in (
    select unnest($2::text[])
    union
    select bl.batch_id
    from batch_lane bl
    join batch b on b.id = bl.batch_id
    where bl.lane_id = any($1::bigint[]) and bl.held > 0 and b.max_concurrency is not null
)
order by id
for update
