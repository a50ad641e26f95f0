update message m
set state = f.state, error = f.error, completed_at = $4
from unnest($1::text[], $2::text[], $3::text[]) as f (id, state, error)
where m.id = f.id and m.state in ('held', 'ready', 'running')
returning m.id, m.batch_id, m.item_index, m.attempt
