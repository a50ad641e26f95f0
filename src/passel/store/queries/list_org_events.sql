-- The first of an organisation's rows from $2 to $3 that tell of 500 ledgers or more together. `there` are all that there
-- are, as far as $4.
select n, of_batches, ids, firsts, lasts, there
from (
    select *, count(*) over () as there, sum(cardinality(ids)) over (order by n) - cardinality(ids) as before
    from (
        select n, of_batches, ids, firsts, lasts from org_event where org_id = $1 and n between $2 and $3 order by n limit $4
    ) o
) r
where before < 500
order by n
