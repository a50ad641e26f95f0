select id from lane
where active <> 0 or parked <> 0
   or id in (select lane_id from message where state = 'ready')
   or id in (select lane_id from message where state = 'suspect')
   or id in (select lane_id from message where state = 'running')
   or id in (select lane_id from message where state in ('waiting', 'delayed'))
order by id
