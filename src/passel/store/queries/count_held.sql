-- Under the lanes' locks. A batch that holds something back anew starts at the lane's time: what it missed is past.
update batch_lane bl
set held = bl.held + d.held,
    pass = case when bl.held = 0 and d.held > 0 then greatest(bl.pass, l.vtime) else bl.pass end
from unnest($1::text[], $2::bigint[], $3::int[]) as d (batch_id, lane_id, held)
join lane l on l.id = d.lane_id
where bl.batch_id = d.batch_id and bl.lane_id = d.lane_id
