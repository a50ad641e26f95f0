select m.org_id, m.id, m.session_id, m.kind, m.number, m.state, m.tries as attempt, m.result, m.error, m.reason, m.wake_at,
       m.created_at, m.ended_at
from message m
where m.id = any($1::text[])
  and not exists (select from session s join batch b on b.id = s.batch_id where s.id = m.session_id and b.state = 'deleting')
