-- A worker that shuts down gives its messages up. What has ended meanwhile, or is another's, is left alone.
with asked as (
    select a.*
    from unnest($1::text[], $2::int[]) as a (id, attempt)
    join message m on m.id = a.id
    order by m.id
    for update of m
)
update message m
set state = case when m.suspicion > 1 then 'suspect' else 'ready' end, ready_at = $3, worker_id = null
from asked a
where m.id = a.id and m.attempt = a.attempt and m.state = 'running'
returning m.id, m.session_id, m.kind, m.lane_id, m.batch_id, m.item_index, m.item_try, m.outcome, m.state
