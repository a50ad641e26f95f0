insert into lane (org_id, name, used_at)
select $1, name, $3 from unnest($2::text[]) as n (name) order by name
on conflict (org_id, name) do nothing
