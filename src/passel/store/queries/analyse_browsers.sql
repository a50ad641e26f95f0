-- Browser sessions of an organisation ($1), made since $2 and until $3 where these are not null, by hours, days, weeks or months ($4). One
-- that has not ended has run until $5.
select date_trunc($4, s.created_at, 'UTC') as date, count(*)::int as sessions,
       coalesce(sum(coalesce((e.data ->> 'seconds')::float8, extract(epoch from $5 - r.created_at)::float8)), 0)::float8 as seconds,
       coalesce(sum((e.data ->> 'bytes')::bigint), 0)::bigint as bytes
from session s
left join lateral (select data from event where session_id = s.id and type = 'browser.ended' order by seq desc limit 1) e on true
left join lateral (
    select created_at from event where session_id = s.id and type = 'browser.ready' order by seq limit 1
) r on e.data is null and exists (select from message m where m.id = s.last_message_id and m.state = 'running')
where s.org_id = $1 and s.kind = 'browser'
  and ($2::timestamptz is null or s.created_at >= $2) and ($3::timestamptz is null or s.created_at <= $3)
group by 1
order by 1
