-- What organisations used in a month, one more row each ($1-$4, ordered as they are locked). Returns those that have a limit.
with counted as (
    insert into usage (org_id, kind, period, used)
    select * from unnest($1::text[], $2::text[], $3::text[], $4::bigint[])
    on conflict (org_id, kind, period) do update set used = usage.used + excluded.used
    returning org_id, kind, period, used
)
select c.org_id, c.kind, c.period, c.used, (o.settings ->> 'monthly_limit')::bigint as most
from counted c
join organisation o on o.id = c.org_id
where o.settings ->> 'monthly_limit' is not null
