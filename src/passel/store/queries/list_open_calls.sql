-- Calls that clients shall answer and have not, of waiting messages, in the order of these; from behind call $5 of message $4 on. A
-- loop over the messages in their order, which ends with the page, whatever the planner knows of their calls
-- and batches.
select m.session_id, e.seq, m.id as message_id, e.data, e.created_at, s.subject_id, s.batch_id, s.metadata
from message m
join session s on s.id = m.session_id
cross join lateral (
    select seq, data, created_at
    from event
    where session_id = m.session_id and message_id = m.id and type = 'tool.requested'
      and (m.id > $4 or seq > $5)
      and data ->> 'execution' = 'external'
      and ($6::text[] is null or data ->> 'name' = any($6))
      and not exists (
          select from event x
          where x.session_id = m.session_id and x.seq > event.seq and x.type in ('tool.completed', 'tool.failed')
            and x.data ->> 'id' = event.data ->> 'id'
      )
    order by seq
    offset 0
) e
where m.org_id = $1 and m.kind = $2 and m.state = 'waiting'
  and m.id >= $4
  and ($3::text is null or s.subject_id = $3)
  and (select state from batch where id = s.batch_id) is distinct from 'deleting'
order by m.id, e.seq
limit $7
