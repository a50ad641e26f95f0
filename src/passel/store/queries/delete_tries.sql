with gone as (
    select * from unnest($2::int[], $3::int[]) as g (index, try)
), before as (
    delete from item_try i using gone g where i.batch_id = $1 and i.index = g.index and i.try = g.try
)
delete from item i using gone g where i.batch_id = $1 and i.index = g.index and i.try = g.try
