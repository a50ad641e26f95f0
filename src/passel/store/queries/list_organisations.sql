select id, name, slug, created_at, owner_id from organisation order by created_at
