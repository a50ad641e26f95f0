-- Sessions that nothing is under way in, under their locks, with all that is theirs. Of deliveries, which are sessions too, the
-- last one about a session or a batch that is still there stays as a row: the next one counts on from it.
with gone as (
    delete from session where id = any($1::text[])
), told as (
    delete from event where session_id = any($1::text[]) returning message_id, type
), messages as (
    delete from message m using told t where t.type = 'message.requested' and m.id = t.message_id
), effects as (
    delete from effect where session_id = any($1::text[])
), deliveries as (
    delete from delivery d
    where d.scope_id in (select scope_id from delivery where id = any($1::text[]))
      and not exists (select from session s where s.id = d.id and s.id <> all($1::text[]))
      and (exists (select from delivery later where later.scope_id = d.scope_id and later.sequence > d.sequence)
        or not exists (select from session s where s.id = d.scope_id and s.id <> all($1::text[])
                       union all select from batch b where b.id = d.scope_id))
), counted as (
    delete from delivery d
    where d.scope_id = any($1::text[]) and not exists (select from session s where s.id = d.id and s.id <> all($1::text[]))
), keys as (
    delete from idempotency_key where session_id = any($1::text[])
)
delete from file_use where holder_id = any($1::text[])
