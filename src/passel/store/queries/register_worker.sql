insert into worker (name, kinds, places, seen_at) values ($1, $2, $3::text::jsonb, clock_timestamp()) returning id
