-- The last statement of a creation or of a growth: what was written becomes visible with counts that add up. $2 items
-- are held and $3 could not be made; of these $4 are new and $5 had ended before,
-- $6 of them by a cancellation, and $9 well. $8 entries are written of it.
update batch
set size = size + $4,
    queued = queued + $2,
    failed = failed + $3 - ($5::int - $9::int),
    completed = completed - $9::int,
    cancelled = cancelled - $6,
    state = case when queued + $2 + running = 0 then 'done' else 'open' end,
    cancel_requested_at = case when queued + $2 + running = 0 then cancel_requested_at end,
    finished_at = case when queued + $2 + running = 0 then $7::timestamptz end,
    finishes = finishes + case when queued + $2 + running = 0 and (state <> 'done' or $4 + $5 > 0) then 1 else 0 end,
    last_event = last_event + $8
where id = $1 and state in ('open', 'done')
returning last_event, queued, running, completed, failed
