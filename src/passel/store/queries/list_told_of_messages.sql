-- Of the ledgers of many messages what is of certain types, in the order of each: without the fields $4 but where the field `id` is
-- among $5. A loop over the messages, whatever the planner knows of them.
select e.org_id, e.session_id, e.seq, e.message_id, e.type,
       case when e.data ->> 'id' = any($5::text[]) then e.data else e.data - $4::text[] end as data, e.created_at
from unnest($1::text[], $2::text[]) as m (session_id, message_id)
cross join lateral (
    select org_id, session_id, seq, message_id, type, data, created_at
    from event
    where session_id = m.session_id and message_id = m.message_id and type = any($3::text[])
    order by seq
) e
