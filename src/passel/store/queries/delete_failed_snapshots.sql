delete from source_snapshot where id = any($1::text[]) and status = 'failed'
