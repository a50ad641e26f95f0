-- Every item had ended when the cancellation began, or nothing of it is left.
update batch
set state = 'done', finished_at = coalesce(finished_at, $2)
where id = $1 and state = 'cancelling' and queued + running = 0
