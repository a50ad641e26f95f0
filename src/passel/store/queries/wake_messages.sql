-- Back to where a place is given out: a batch's to its admission, in its place by index, throttled ones to their lane's;
-- others at once.
update message m
set state = case when m.batch_id is not null or m.throttled then 'held' when m.suspicion > 1 then 'suspect' else 'ready' end,
    ready_at = $2, wake_at = null, reason = null
where m.id = any($1::text[]) and m.state in ('waiting', 'delayed')
returning m.id, m.session_id, m.kind, m.lane_id, m.batch_id, m.item_index, m.item_try, m.outcome, m.state
