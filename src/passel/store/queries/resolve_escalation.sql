-- A person's decision ($4, fields of the result) becomes that of a verification ($1, with the message $2), and of the items that took
-- its result over. No row back: another was faster, or it came too late: only what ended after $3 waits for one.
with held as materialized (
    select id, result, ended_at
    from message
    where id = $2 or (kind = 'verification' and result ? 'reused' and result ->> 'reused' = $1)
    order by id
    for update
), open as (
    select from held where id = $2 and result ->> 'escalation' is not null and not result ? 'review' and ended_at > $3
), decided as (
    update message m set result = m.result || $4 from held h where m.id = h.id and exists (select from open)
    returning m.org_id, m.session_id, m.id
)
select org_id, session_id, id from decided where id = $2
