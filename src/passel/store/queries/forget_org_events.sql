-- Of the oldest $2 rows those that were written before $1.
with old as (
    select n from (select n, created_at from org_event order by n limit $2) o where created_at < $1
)
delete from org_event e using old where e.n = old.n
returning e.n
