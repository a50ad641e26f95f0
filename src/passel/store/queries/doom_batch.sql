-- No row back: something of it has not ended. What makes it grow meets this row in the end, and leaves nothing then. Its key
-- is free for another batch.
update batch b set state = 'deleting', idempotency_key = null
where b.id = $1 and b.state = 'done'
  and not exists (
    select from item i join session s on s.id = i.session_id where i.batch_id = b.id and s.active_message_id is not null
    union all
    select from item_try i join session s on s.id = i.session_id where i.batch_id = b.id and s.active_message_id is not null
    union all
    select from message where batch_id = b.id and item_index is null and state in ('held', 'ready', 'suspect', 'running', 'waiting', 'delayed')
  )
returning b.id
