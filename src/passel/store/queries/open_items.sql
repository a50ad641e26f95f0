select batch_id, index, session_id, message_id
from item
where batch_id = $1 and state in ('held', 'ready', 'running')
order by index
limit $2
