update batch
set state = case when state = 'open' then 'cancelling' else state end,
    cancel_requested_at = case when state = 'open' then coalesce(cancel_requested_at, $2) else cancel_requested_at end
where id = $1
returning state
