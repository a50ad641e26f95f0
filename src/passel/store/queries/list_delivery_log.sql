-- Deliveries of a webhook ($2) of an organisation, newest first, filtered where not null by status ($3), type ($4) and span ($5, $6). One
-- that its receiver refused has `failed`; one that was given up is `dead`. `total` are all that match.
with found as (
    select l.id, l.type, l.created_at, l.wake_at, l.error, t.tries, t.status as response_status, m.ended_at,
           case l.status when 'delivered' then 'succeeded'
                         when 'failed' then case when t.status between 400 and 499 then 'failed' else 'dead' end
                         when 'pending' then case when m.state = 'running' then 'in_flight' else 'pending' end
                         else l.status end as status
    from delivery_log l
    join session s on s.id = l.id
    join message m on m.id = s.last_message_id
    cross join lateral (
        select count(*)::int as tries, (array_agg((e.data ->> 'status')::int order by e.seq desc))[1] as status
        from event e where e.session_id = l.id and e.type = 'delivery.tried'
    ) t
    where l.org_id = $1 and l.subject_id = $2
      and ($4::text is null or l.type = $4)
      and ($5::timestamptz is null or l.created_at >= $5) and ($6::timestamptz is null or l.created_at <= $6)
), matching as (
    select * from found where $3::text is null or status = $3
), page as (
    select * from matching order by created_at desc, id desc limit $7 offset $8
)
select p.*, t.total
from (select count(*) as total from matching) t
left join page p on true
order by p.created_at desc, p.id desc
