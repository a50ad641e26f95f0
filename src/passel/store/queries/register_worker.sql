insert into worker (name, kinds, seen_at) values ($1, $2, clock_timestamp()) returning id
