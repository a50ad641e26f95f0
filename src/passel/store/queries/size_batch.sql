-- The last statement of a creation or of a growth: what was written becomes visible with counts that add up. $2 items
-- are held and $3 could not be made; of these $4 are new and $5 had failed before, $6 of them by a cancellation.
update batch
set size = size + $4,
    queued = queued + $2,
    failed = failed + $3 - $5,
    cancelled = cancelled - $6,
    state = case when queued + $2 + running = 0 then 'done' else 'open' end,
    cancel_requested_at = case when queued + $2 + running = 0 then cancel_requested_at end,
    finished_at = case when queued + $2 + running = 0 then $7::timestamptz end,
    finishes = finishes + case when queued + $2 + running = 0 and (state <> 'done' or $4 + $5 > 0) then 1 else 0 end
where id = $1 and state <> 'cancelling'
returning finished_at is not null as finished
