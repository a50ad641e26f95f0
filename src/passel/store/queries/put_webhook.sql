-- One that is there keeps its id, its secret and its age, and is enabled again.
insert into webhook (org_id, subject_id, id, kind, watches, batch_items, description, lane_id, url, event_types, sealed, created_at, updated_at)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $12)
on conflict (subject_id) do update
    set url = excluded.url, event_types = excluded.event_types, batch_items = excluded.batch_items, description = excluded.description,
        disabled_at = null, updated_at = excluded.updated_at
returning (xmax = 0) as created
