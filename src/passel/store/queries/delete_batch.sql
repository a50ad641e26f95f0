-- The last of it.
with batch as (
    delete from batch where id = $1 and state = 'deleting'
), lanes as (
    delete from batch_lane where batch_id = $1
), told as (
    delete from batch_event where batch_id = $1
)
delete from file_use where holder_id = $1
