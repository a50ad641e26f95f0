-- Newest first. A delivery that was acknowledged stays so; else its last message says where it stands.
with page as (
    select d.*, s.last_message_id
    from delivery d
    join session s on s.id = d.id
    where d.subject_id = $1
      and ($2::text is null or (d.created_at, d.id) < (select o.created_at, o.id from delivery o where o.id = $2))
      and ($3::text is null or d.type = $3)
      and ($4::text is null or d.id = $4)
), stood as (
    select p.*, l.state as last_state, l.wake_at, l.error,
           case when f.state = 'completed' then f.result ->> 'outcome'
                when l.state = 'completed' then l.result ->> 'outcome'
                when l.state = 'failed' then 'failed'
                else 'pending' end as status
    from page p
    join message f on f.id = p.message_id
    join message l on l.id = p.last_message_id
)
select org_id, id, scope_id, sequence, type, event_seq, created_at, status, wake_at, error
from stood
where $5::text is null or status = $5
order by created_at desc, id desc
limit $6
