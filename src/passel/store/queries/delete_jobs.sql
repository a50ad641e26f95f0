-- A message that is handed back gets one new job; what else would deliver it goes.
delete from pgqueuer where split_part(dedupe_key, ':', 1) = any($1::text[])
