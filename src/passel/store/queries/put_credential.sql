insert into credential (org_id, name, id, sealed, created_at, updated_at)
values ($1, $2, $3, $4, $5, $5)
on conflict (org_id, name) do update set sealed = excluded.sealed, updated_at = excluded.updated_at
returning org_id, name, id, created_at, updated_at, (xmax = 0) as created
