-- No row back: the name is taken.
insert into browser_certificate (org_id, name, id, description, der, created_at)
values ($1, $2, $3, $4, $5, $6)
on conflict (org_id, name) do nothing
returning id
