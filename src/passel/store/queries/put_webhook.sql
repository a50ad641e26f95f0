-- One that is there keeps its id, its secret and its age.
insert into webhook (org_id, subject_id, id, kind, lane_id, url, event_types, sealed, created_at, updated_at)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $9)
on conflict (subject_id) do update set url = excluded.url, event_types = excluded.event_types, updated_at = excluded.updated_at
returning (xmax = 0) as created
