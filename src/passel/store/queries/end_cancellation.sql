-- Nothing of the batch is alive any more.
update batch
set state = 'done', finished_at = coalesce(finished_at, $2)
where id = $1 and state = 'cancelling' and queued + running = 0
