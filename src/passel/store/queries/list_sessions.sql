select s.org_id, s.id, s.kind, s.subject_id, s.spec, s.name, s.metadata, s.lane, s.last_seq, s.last_message_id, s.created_at,
       s.batch_id, s.forked_from, s.forked_seq,
       coalesce(s.closed, case when s.active_message_id is null then 'idle' else 'running' end) as status,
       (select m.state from message m where m.id = s.last_message_id) as last_message_state
from session s
where s.org_id = $1 and s.kind = $2
  and ($3::text is null or s.subject_id = $3)
  and ($4::text is null or coalesce(s.closed, case when s.active_message_id is null then 'idle' else 'running' end) = $4)
  and ($5::text is null or s.id < $5)
  and not exists (select from batch b where b.id = s.batch_id and b.state = 'deleting')
order by s.id desc
limit $6
