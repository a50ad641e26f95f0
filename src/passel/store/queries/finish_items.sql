update item i
set state = f.state, error = f.error, finished_at = $5
from unnest($1::text[], $2::int[], $3::text[], $4::text[]) as f (batch_id, index, state, error),
     (select batch_id, index, state from item where (batch_id, index) in (select * from unnest($1::text[], $2::int[]))) was
where i.batch_id = f.batch_id and i.index = f.index and was.batch_id = i.batch_id and was.index = i.index
  and i.state in ('held', 'ready', 'running')
returning i.batch_id, i.lane_id, was.state as previous, i.state
