select id, name, slug, created_at from organisation where id = $1 or slug = $1
