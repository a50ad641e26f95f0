-- A row that may be claimed by the next statement, made where there is none.
insert into browser_profile (org_id, name, id, created_at)
values ($1, $2, $3, $4)
on conflict (org_id, name) do update set name = excluded.name
returning id
