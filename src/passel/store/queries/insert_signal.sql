-- Unless there are as many ($5) that nobody has taken. Those made before $6 are forgotten. No row back: there are too many.
with old as (
    delete from signal where org_id = $1 and created_at < $6
), new as (
    insert into signal (org_id, name, data, created_at)
    select $1, $2, $3, $4
    where (select count(*) from signal where org_id = $1 and created_at >= $6) < $5
    returning n
)
select n, pg_notify('passel_told', $7) from new
