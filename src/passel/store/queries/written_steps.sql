-- Of writes that met no row: those that a commit with a lost answer had already made. An attempt that another one has
-- followed wrote nothing after it, so its number and step tell the write.
select m.id
from message m
join unnest($1::text[], $2::int[], $3::int[]) as a (id, attempt, step) on m.id = a.id
where m.attempt = a.attempt and m.step >= a.step
