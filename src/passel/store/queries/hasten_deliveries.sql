-- Deliveries of a lane that wait for another try have it at once: their webhook is gone, and they end with it.
update message set wake_at = $2
where id in (select id from message where lane_id = $1 and state = 'delayed' order by id for update skip locked)
