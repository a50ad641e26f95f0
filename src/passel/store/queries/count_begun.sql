-- What the sessions of a batch's items have begun (insert_spawned.sql), by state.
select state, count(*) as n from message where batch_id = $1 and item_index is null group by state
