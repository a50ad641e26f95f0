-- Verifications that a person was asked to decide, the newest first; filters where not null. Those that ended before $5 without a
-- decision have expired (`passel.core.verification.escalations`, which a test holds this against). `total` are all that match.
with found as (
    select m.id, m.ended_at
    from message m
    where m.org_id = $1 and m.kind = 'verification' and m.result ->> 'escalation' is not null and not m.result ? 'reused'
      and ($2::text[] is null or case when m.result ? 'review' then 'resolved' when m.ended_at > $5 then 'pending' else 'expired' end = any($2))
      and ($3::text[] is null or m.result ->> 'escalation' = any($3))
      and ($4::text[] is null or case when (m.result ->> 'confidence')::float8 < 0.5 then 'high'
                                      when (m.result ->> 'confidence')::float8 < 0.8 then 'medium'
                                      else 'low' end = any($4))
), page as (
    select * from found order by ended_at desc, id desc limit $6 offset $7
)
select m.session_id, m.id as message_id, m.batch_id, m.item_index, m.result, m.ended_at as escalated_at, e.data ->> 'content' as content, t.total
from (select count(*) as total from found) t
left join page p on true
left join message m on m.id = p.id
left join event e on e.session_id = m.session_id and e.seq = 1
order by p.ended_at desc, p.id desc
