update message set handed_back = handed_back + 1 where id = any($1::text[])
