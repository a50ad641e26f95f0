-- A worker that shuts down gives its sessions up: the fence rises, so its own late writes are lost too.
update session s
set fence = s.fence + 1, step = 0
from unnest($1::text[], $2::int[]) as a (id, fence)
where s.id = a.id and s.fence = a.fence and s.active_message_id is not null
returning s.id, s.active_message_id, s.fence
