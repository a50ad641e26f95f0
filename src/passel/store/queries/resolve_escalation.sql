-- A person's decision ($3, fields of the result) becomes the verification's own. No row back: another was faster, or it came too
-- late: only what ended after $2 waits for one.
update message
set result = result || $3
where id = $1 and result ->> 'escalation' is not null and not result ? 'review' and ended_at > $2
returning org_id, session_id, id
