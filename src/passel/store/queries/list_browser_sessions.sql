-- Browser sessions of an organisation; filters where not null: status ($2), all of these tags ($3), a fragment of any tag for each of $4,
-- made since $5 and until $6, of the batch $7, that were at all of the sites $12, of a profile with $13 in its name,
-- through a proxy of their own or not $14, with web tasks or without $15. By the names of their keys where $11, then in the order of their making; the last first where $8. `total` are all that match.
with found as (
    select s.id, s.batch_id, s.spec, k.label as key_name, s.created_at, m.state, m.outcome, m.error, m.ended_at, e.data as ended,
           case when m.state in ('completed', 'failed')
                    then case when m.state = 'failed' and (m.error = 'no capacity' or e.data ->> 'end_reason' in ('crash', 'start_failed', 'worker_lost', 'shutdown'))
                              then 'failed' else 'completed' end
                when m.outcome = 'completed' then 'running'
                else 'pending' end as status
    from session s
    join message m on m.id = s.last_message_id
    left join api_key k on k.id = s.spec ->> 'key_id'
    left join lateral (
        select data from event where session_id = s.id and type = 'browser.ended' order by seq desc limit 1
    ) e on m.state in ('completed', 'failed')
    where s.org_id = $1 and s.kind = 'browser'
      and ($3::text[] is null or s.spec -> 'tags' ?& $3)
      and ($4::text[] is null or not exists (
          select from unnest($4) f (part)
          where not exists (select from jsonb_array_elements_text(s.spec -> 'tags') t where strpos(lower(t), lower(f.part)) > 0)))
      and ($5::timestamptz is null or s.created_at >= $5) and ($6::timestamptz is null or s.created_at <= $6)
      and ($7::text is null or s.batch_id = $7)
      and ($12::text[] is null or not exists (
          select from unnest($12) w (domain)
          where not exists (
              select from event e
              where e.session_id = s.id and e.type = 'browser.navigated' and browser_domain(e.data ->> 'url') = lower(w.domain))))
      and ($13::text is null or exists (
          select from event e
          where e.session_id = s.id and e.seq = 1 and strpos(lower(e.data -> 'configuration' ->> 'profile'), lower($13)) > 0))
      and ($14::bool is null or $14 = exists (
          select from event e where e.session_id = s.id and e.seq = 1 and e.data -> 'configuration' ->> 'proxy' is not null))
      and ($15::bool is null or $15 = exists (select from event e where e.session_id = s.id and e.type = 'browser.task_requested'))
      and not exists (select from batch b where b.id = s.batch_id and b.state = 'deleting')
), matching as (
    select * from found where $2::text is null or status = $2
), page as (
    select * from matching
    order by case when $8 and $11 then key_name end desc, case when $11 then key_name end,
             case when $8 then created_at end desc, case when $8 then id end desc, created_at, id
    limit $9 offset $10
)
select p.*, r.data as request, d.domains, w.tasks, w.steps, t.total
from (select count(*) as total from matching) t
left join page p on true
left join event r on r.session_id = p.id and r.seq = 1
left join lateral (
    select coalesce(array_agg(distinct browser_domain(e.data ->> 'url')) filter (where browser_domain(e.data ->> 'url') is not null), '{}') as domains
    from event e where e.session_id = p.id and e.type = 'browser.navigated'
) d on true
left join lateral (
    select count(*) filter (where e.type = 'browser.task_requested') as tasks, count(*) filter (where e.type = 'browser.task_answered') as steps
    from event e where e.session_id = p.id and e.type in ('browser.task_requested', 'browser.task_answered')
) w on true
order by case when $8 and $11 then p.key_name end desc, case when $11 then p.key_name end,
         case when $8 then p.created_at end desc, case when $8 then p.id end desc, p.created_at, p.id
