select a.id
from unnest($1::text[], $2::int[]) as a (id, fence)
join session s on s.id = a.id
where s.fence <> a.fence
