update lane l set active = l.active + d.active
from unnest($1::bigint[], $2::int[]) as d (id, active)
where l.id = d.id
