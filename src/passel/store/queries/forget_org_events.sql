-- Of the oldest $2 rows those that were written before $1. The last of them stays: places behind it are good, whatever numbers
-- come next.
with old as (
    select n from (select n, created_at from org_event order by n limit $2 + 1) o where created_at < $1
)
delete from org_event e using old where e.n = old.n and e.n < (select max(n) from old)
returning e.n
