select id, name, slug, created_at from organisation order by created_at
