-- Newest first, behind the one named in $2.
select org_id, id, scope_id, sequence, type, event_seq, created_at, status, wake_at, error
from delivery_log
where subject_id = $1
  and ($2::text is null or (created_at, id) < (select o.created_at, o.id from delivery o where o.id = $2))
  and ($3::text is null or type = $3)
  and ($4::text is null or status = $4)
order by created_at desc, id desc
limit $5
