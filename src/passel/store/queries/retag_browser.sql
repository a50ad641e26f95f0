update session set spec = spec || jsonb_build_object('tags', $2::text[]) where id = $1
