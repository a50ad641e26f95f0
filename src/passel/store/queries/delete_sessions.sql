-- Sessions that nothing is under way in, under their locks, with all that is theirs.
with gone as (
    delete from session where id = any($1::text[])
), told as (
    delete from event where session_id = any($1::text[]) returning message_id, type
), messages as (
    delete from message m using told t where t.type = 'message.requested' and m.id = t.message_id
), effects as (
    delete from effect where session_id = any($1::text[])
), keys as (
    delete from idempotency_key where session_id = any($1::text[])
)
delete from file_use where holder_id = any($1::text[])
