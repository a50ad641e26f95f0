-- Of these attempts, those that another one has followed, that a cancellation has ended, or whose message is deleted.
select a.id
from unnest($1::text[], $2::int[]) as a (id, attempt)
left join message m on m.id = a.id
where m.id is null or m.attempt <> a.attempt or m.state <> 'running'
