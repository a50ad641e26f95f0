select id, attempt, state from message where id = any($1::text[])
