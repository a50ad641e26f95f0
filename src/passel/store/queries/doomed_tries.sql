-- Some of what is left of a batch: tries, with their sessions and whether somebody has sent one of these a message meanwhile; then
-- the sessions that these have begun.
select t.index, t.try, t.session_id, s.id is not null as there, s.active_message_id is not null as busy
from (
    (select index, try, session_id from item_try where batch_id = $1 order by index, try limit $2)
    union all
    (select index, try, session_id from item where batch_id = $1 order by index limit $2)
    union all
    (select null, null, session_id from message where batch_id = $1 and item_index is null limit $2)
    limit $2
) t
left join session s on s.id = t.session_id
