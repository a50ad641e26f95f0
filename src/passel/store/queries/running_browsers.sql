-- Sessions of a batch whose browsers are ready and run, and where.
select session_id, result ->> 'address' as address
from message
where batch_id = $1 and kind = 'browser' and state = 'running' and outcome = 'completed'
