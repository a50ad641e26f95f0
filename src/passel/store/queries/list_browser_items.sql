-- The items of a batch of browsers, in input order. An item is settled with its browser's being ready, which then goes on. `restarts` are
-- starts that another one followed, in this try and in those before it; `last_error` is why the try before this one failed.
select i.index, i.try as try_number, i.session_id, coalesce(m.outcome, m.state) as state, m.cancelled,
       coalesce((s.spec ->> 'scoped')::bool, false) as scoped, m.state = 'running' and m.outcome = 'completed' as alive,
       case when m.outcome = 'completed' then null else m.error end as error, b.created_at as began_at,
       coalesce(r.created_at, m.ended_at) as settled_at, n.restarts + coalesce(p.restarts, 0) as restarts, p.last_error
from item i
join message m on m.id = i.message_id
join session s on s.id = i.session_id
left join lateral (
    select created_at from event e where e.session_id = i.session_id and e.type = 'message.state' and e.data ->> 'state' = 'running' order by seq limit 1
) b on true
left join lateral (select seq, created_at from event e where e.session_id = i.session_id and e.type = 'browser.ready' order by seq limit 1) r on true
cross join lateral (
    select count(*) as restarts from event e
    where e.session_id = i.session_id and e.seq < coalesce(r.seq, s.last_seq + 1) and e.type = 'browser.start_failed'
) n
left join lateral (
    select sum((select count(*) from event e where e.session_id = t.session_id and e.type = 'browser.start_failed'))::bigint as restarts,
           (array_agg(coalesce(t.error, o.error) order by t.try desc))[1] as last_error
    from item_try t
    left join message o on o.id = t.message_id
    where t.batch_id = i.batch_id and t.index = i.index
) p on i.try > 1
where i.batch_id = $1
order by i.index
