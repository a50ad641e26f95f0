-- The oldest of that name, which nobody else gets then.
delete from signal
where n = (select n from signal where org_id = $1 and name = $2 and created_at >= $3 order by n limit 1 for update skip locked)
returning data
