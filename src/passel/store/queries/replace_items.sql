-- The next try of items whose message has ended, or that never had one.
with was as (
    select i.org_id, i.batch_id, i.index, i.try, i.session_id, i.message_id, i.request, i.error, m.cancelled, m.outcome
    from item i
    left join message m on m.id = i.message_id
    join unnest($2::int[], $3::int[]) as a (index, try) on i.index = a.index and i.try = a.try
    where i.batch_id = $1
), kept as (
    insert into item_try (org_id, batch_id, index, try, session_id, message_id, request, error)
    select org_id, batch_id, index, try, session_id, message_id, request, error from was
)
update item i
set try = i.try + 1, session_id = a.session_id, message_id = a.message_id, request = a.request, error = a.error
from unnest($2::int[], $4::text[], $5::text[], $6::jsonb[], $7::text[]) as a (index, session_id, message_id, request, error)
join was w on w.index = a.index
where i.batch_id = $1 and i.index = a.index
returning i.index, coalesce(w.cancelled, false) as was_cancelled, coalesce(w.outcome = 'completed', false) as was_completed
