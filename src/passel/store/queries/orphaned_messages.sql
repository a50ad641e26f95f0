-- Active messages that no live job belongs to. A job's dedupe key is `message:fence`.
select m.id as message_id, m.session_id, s.fence
from message m
join session s on s.id = m.session_id and s.active_message_id = m.id
where m.state in ('ready', 'running')
  and not exists (
    select from pgqueuer q where split_part(q.dedupe_key, ':', 1) = m.id and q.status in ('queued', 'picked')
  )
limit 5000
