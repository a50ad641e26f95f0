-- Sessions of no batch that nothing is under way in, and nothing has happened in since $1.
select s.id
from session s
where s.batch_id is null and s.created_at < $1 and s.active_message_id is null
  and (s.last_seq = 0 or (select e.created_at from event e where e.session_id = s.id and e.seq = s.last_seq) < $1)
order by s.created_at
limit $2
