-- The items of a batch of browsers, in input order. An item is settled with its browser's being ready, which then goes on.
select i.index, i.try as try_number, i.session_id, coalesce(m.outcome, m.state) as state, m.cancelled,
       coalesce((s.spec ->> 'scoped')::bool, false) as scoped, m.state = 'running' and m.outcome = 'completed' as alive,
       case when m.outcome = 'completed' then null else m.error end as error, b.created_at as began_at,
       coalesce(r.created_at, m.ended_at) as settled_at
from item i
join message m on m.id = i.message_id
join session s on s.id = i.session_id
left join lateral (
    select created_at from event e where e.session_id = i.session_id and e.type = 'message.state' and e.data ->> 'state' = 'running' order by seq limit 1
) b on true
left join lateral (select created_at from event e where e.session_id = i.session_id and e.type = 'browser.ready' order by seq limit 1) r on true
where i.batch_id = $1
order by i.index
