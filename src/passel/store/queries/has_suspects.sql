select exists (select from message where state = 'suspect' and kind = any($1::text[]))
