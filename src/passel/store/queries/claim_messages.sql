-- Under the session's lock, right after its fence rose.
update message m
set state = 'running', attempt = m.attempt + 1
from (select id, state from message where id = any($1::text[])) was
where m.id = was.id and m.state in ('ready', 'running')
returning m.id, m.attempt, m.handed_back, was.state as previous, m.batch_id, m.item_index
