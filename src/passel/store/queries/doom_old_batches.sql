-- Batches that finished before $1, or that were to be kept until before $3, and that nothing is under way in.
with old as (
    select b.id from batch b
    where b.state = 'done' and (b.finished_at < $1 or b.expires_at < $3)
      and not exists (
        select from item i join session s on s.id = i.session_id where i.batch_id = b.id and s.active_message_id is not null
        union all
        select from item_try i join session s on s.id = i.session_id where i.batch_id = b.id and s.active_message_id is not null
        union all
        select from message where batch_id = b.id and item_index is null and state in ('held', 'ready', 'suspect', 'running', 'waiting', 'delayed')
      )
    order by b.finished_at
    limit $2
    for update of b skip locked
)
update batch b set state = 'deleting', idempotency_key = null from old where b.id = old.id
returning b.id
