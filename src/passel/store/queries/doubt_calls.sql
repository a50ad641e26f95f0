-- Calls that an ended attempt left open: the answer is unknown, and they may have been billed.
update model_call
set state = 'in_doubt', ended_at = $2
where message_id = any($1::text[]) and state = 'started'
returning id, session_id, message_id, attempt, number, provider, model, request_hash, started_at
