select id from lane l
where active <> 0
   or exists (select from message m join session s on s.id = m.session_id where s.lane_id = l.id and m.state in ('ready', 'running'))
order by id
