-- A worker that shuts down gives its sessions up: the fence rises, so its own late writes are lost too.
-- It names the message: one that has ended meanwhile is not given up, nor is the one after it.
update session s
set fence = s.fence + 1, step = 0
from unnest($1::text[], $2::int[], $3::text[]) as a (id, fence, message_id)
where s.id = a.id and s.fence = a.fence and s.active_message_id = a.message_id
returning s.id, s.active_message_id, s.fence
