-- An organisation, and those that it owns directly or through others.
with recursive owned as (
    select o.* from organisation o where o.id = $1
    union all
    select o.* from organisation o join owned on o.owner_id = owned.id
)
select id, name, slug, created_at, owner_id from owned order by created_at, id
