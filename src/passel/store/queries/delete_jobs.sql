-- A message that is handed back gets one new job. What else would deliver it goes, unless another worker has it in its
-- hands: then that one goes on, and needs no new job.
delete from pgqueuer
where split_part(dedupe_key, ':', 1) = any($1::text[]) and (status = 'queued' or queue_manager_id = $2)
