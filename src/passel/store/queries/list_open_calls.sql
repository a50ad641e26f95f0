-- Calls that clients shall answer and have not, of waiting messages, in the order of these; from behind call $5 of message $4 on.
select e.session_id, e.seq, e.message_id, e.data, e.created_at, s.subject_id, s.batch_id, s.metadata
from message m
join session s on s.id = m.session_id
join event e on e.session_id = m.session_id and e.message_id = m.id and e.type = 'tool.requested'
where m.org_id = $1 and m.kind = $2 and m.state = 'waiting'
  and e.data ->> 'execution' = 'external'
  and (m.id, e.seq) > ($4, $5)
  and m.id >= $4
  and ($3::text is null or s.subject_id = $3)
  and ($6::text[] is null or e.data ->> 'name' = any($6))
  and not exists (
      select from event x
      where x.session_id = e.session_id and x.seq > e.seq and x.type in ('tool.completed', 'tool.failed') and x.data ->> 'id' = e.data ->> 'id'
  )
  and not exists (select from batch b where b.id = s.batch_id and b.state = 'deleting')
order by m.id, e.seq
limit $7
