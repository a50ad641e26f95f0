delete from file where id = any($1::text[]) and doomed
