insert into organisation (id, name, slug, created_at, owner_id) values ($1, $2, $3, $4, $5)
