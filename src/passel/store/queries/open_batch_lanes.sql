-- What batches hold back anew in lanes, under the locks of the lanes.
insert into batch_lane as bl (org_id, batch_id, lane_id, held, pass)
select h.org_id, h.batch_id, l.id, h.held, l.vtime
from unnest($1::text[], $2::text[], $3::bigint[], $4::int[]) as h (org_id, batch_id, lane_id, held)
join lane l on l.id = h.lane_id
on conflict (batch_id, lane_id) do update
set held = bl.held + excluded.held,
    pass = case when bl.held = 0 then greatest(bl.pass, excluded.pass) else bl.pass end
