-- Of writes that met no row: those that a commit with a lost answer had already made.
select s.id
from session s
join unnest($1::text[], $2::int[], $3::int[]) as a (id, fence, step) on s.id = a.id
where s.fence = a.fence and s.step = a.step + 1
