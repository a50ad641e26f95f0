-- What a worker takes next: messages of its own before those of batches, then in the order in which they became ready.
select id
from message
where state = 'ready' and kind = $1
order by priority, ready_at, id
limit $2
for update skip locked
