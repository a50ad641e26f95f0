-- Of these sessions, those that nothing is under way in, and nothing has happened in since $2.
select s.id
from session s
where s.id = any($1::text[]) and s.active_message_id is null
  and ($2::timestamptz is null
    or case when s.last_seq = 0 then s.created_at
            else (select e.created_at from event e where e.session_id = s.id and e.seq = s.last_seq) end < $2)
order by s.id
for update of s
