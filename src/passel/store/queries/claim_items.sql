update item i
set state = 'running'
from unnest($1::text[], $2::int[]) as c (batch_id, index)
where i.batch_id = c.batch_id and i.index = c.index and i.state = 'ready'
returning i.batch_id
