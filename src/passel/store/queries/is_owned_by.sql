-- Whether organisation $1 is $2 or owned by it, directly or through others; null when there is no $1.
with recursive line as (
    select id, owner_id from organisation where id = $1
    union all
    select o.id, o.owner_id from organisation o join line on o.id = line.owner_id
)
select bool_or(id = $2) from line
