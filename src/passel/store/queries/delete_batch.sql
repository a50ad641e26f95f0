-- The last of it.
with batch as (
    delete from batch where id = $1 and state = 'deleting'
), lanes as (
    delete from batch_lane where batch_id = $1
), told as (
    delete from batch_event where batch_id = $1
), counted as (
    delete from delivery d where d.scope_id = $1 and not exists (select from session s where s.id = d.id)
)
delete from file_use where holder_id = $1
