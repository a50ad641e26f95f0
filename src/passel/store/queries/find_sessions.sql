-- A batch that is being deleted has taken its sessions along.
select s.org_id, s.id, s.kind, s.subject_id, s.spec, s.name, s.metadata, s.lane, s.last_seq, s.last_message_id, s.created_at,
       s.batch_id, s.forked_from, s.forked_seq,
       coalesce(s.closed, case when s.active_message_id is null then 'idle' else 'running' end) as status,
       (select m.state from message m where m.id = s.last_message_id) as last_message_state
from session s
where s.id = any($1::text[])
  and not exists (select from batch b where b.id = s.batch_id and b.state = 'deleting')
