-- Batches of verifications, newest first; those of a status ($2) where one is asked for. `total` are all that match.
with found as (
    select id, created_at from batch
    where org_id = $1 and kind = 'verification' and state <> 'deleting' and (expires_at is null or expires_at > $5)
      and ($2::text[] is null or case when spec ? 'problems' then 'failed'
                                      when cancel_requested_at is not null then 'cancelled'
                                      when finished_at is not null then 'completed'
                                      else 'processing' end = any($2))
), page as (
    select * from found order by created_at desc, id desc limit $3 offset $4
)
select b.*, t.total
from (select count(*) as total from found) t
left join page p on true
left join batch b on b.id = p.id
order by p.created_at desc, p.id desc
