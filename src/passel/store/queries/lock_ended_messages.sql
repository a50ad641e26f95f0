-- The messages of sessions that are about to be deleted: some attempt that was lost may be trying to write about one.
select id
from message
where id in (select message_id from event where session_id = any($1::text[]) and type = 'message.requested')
  and state in ('completed', 'failed')
order by id
for update
