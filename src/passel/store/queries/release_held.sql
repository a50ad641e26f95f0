-- Held items that left their queue without being admitted (cancelled).
update batch_lane bl set held = bl.held - d.held
from unnest($1::text[], $2::bigint[], $3::int[]) as d (batch_id, lane_id, held)
where bl.batch_id = d.batch_id and bl.lane_id = d.lane_id
