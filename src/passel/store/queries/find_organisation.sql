select id, name, slug, created_at, owner_id from organisation where id = $1 or slug = $1
