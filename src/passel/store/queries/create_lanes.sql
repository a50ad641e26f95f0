insert into lane (org_id, name)
select $1, name from unnest($2::text[]) as n (name) order by name
on conflict (org_id, name) do nothing
