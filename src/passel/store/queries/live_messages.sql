-- Messages of a batch that have not ended, locked in the order of their ids. An admission that is under way commits
-- first, and its work is seen.
select id
from message
where id in (
    select id from (
        (select id from message where batch_id = $1 and state = 'held' limit $2)
        union all
        (select id from message where batch_id = $1 and state = 'ready' limit $2)
        union all
        (select id from message where batch_id = $1 and state = 'suspect' limit $2)
        union all
        (select id from message where batch_id = $1 and state = 'running' limit $2)
        union all
        (select id from message where batch_id = $1 and state in ('waiting', 'delayed') limit $2)
    ) live limit $2
)
order by id
for update
