-- Messages that a worker began and does not know of: the commit of its claim was done and its answer lost.
select org_id, session_id, id, attempt, tries as number, lane_id, batch_id, item_index, item_try, outcome
from message
where state = 'running' and worker_id = $1 and not id = any($2::text[])
