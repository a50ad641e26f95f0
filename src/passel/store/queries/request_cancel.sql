-- A batch whose items have all ended may have live messages yet: items that were settled early.
update batch b
set state = 'cancelling', cancel_requested_at = coalesce(cancel_requested_at, $2)
where id = $1
  and (state = 'open' or (state = 'done' and (
    exists (select from message where batch_id = $1 and state = 'held')
    or exists (select from message where batch_id = $1 and state = 'ready')
    or exists (select from message where batch_id = $1 and state = 'suspect')
    or exists (select from message where batch_id = $1 and state = 'running')
    or exists (select from message where batch_id = $1 and state in ('waiting', 'delayed')))))
returning state
