-- Of an organisation; the one of a name where $2 is not null. What has no state and nobody who saves one is none.
select p.org_id, p.name, p.id, p.description, coalesce(case when w.alive and p.file_id is null then p.writer_id end, p.session_id) as session_id,
       p.file_id, p.created_at,
       case when w.alive and p.saving then 'saving' when p.file_id is null then 'pending_session' else 'ready' end as status,
       w.alive as held
from browser_profile p
cross join lateral (
    select exists (
        select from session s join message m on m.id = s.last_message_id where s.id = p.writer_id and m.ended_at is null) as alive
) w
where p.org_id = $1 and ($2::text is null or p.name = $2) and (p.file_id is not null or w.alive)
order by p.created_at, p.name
