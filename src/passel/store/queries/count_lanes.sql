with locked as (
    select id from lane where id = any($1::bigint[]) order by id for no key update
)
update lane l
set active = l.active + d.active, parked = l.parked + d.parked, used_at = $4
from unnest($1::bigint[], $2::int[], $3::int[]) as d (id, active, parked)
join locked k on k.id = d.id
where l.id = d.id
