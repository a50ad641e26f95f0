-- The last statement of a creation: what was copied in becomes visible with counts that add up.
update batch
set size = $2::int + $3::int, queued = $2, failed = $3,
    state = case when $2 = 0 then 'done' else 'open' end,
    finished_at = case when $2 = 0 then created_at end
where id = $1
