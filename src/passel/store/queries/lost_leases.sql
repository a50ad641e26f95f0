-- Of these attempts, those that another one has followed, or that a cancellation has ended.
select a.id
from unnest($1::text[], $2::int[]) as a (id, attempt)
join message m on m.id = a.id
where m.attempt <> a.attempt or m.state <> 'running'
