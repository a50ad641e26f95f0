select distinct m.worker_id
from message m
where m.state = 'running' and not exists (select from worker w where w.id = m.worker_id)
