-- Batches of browsers, newest first; filters where not null. `total` are all that match.
with found as (
    select id, created_at from batch
    where org_id = $1 and kind = 'browser' and state <> 'deleting'
      and ($3::timestamptz is null or created_at >= $3) and ($4::timestamptz is null or created_at <= $4)
      and ($2::text is null or $2 = case when cancel_requested_at is not null then 'cancelled'
                                         when finished_at is null and queued = size then 'pending'
                                         when finished_at is null then 'processing'
                                         when completed > 0 then 'completed'
                                         else 'failed' end)
), page as (
    select * from found order by created_at desc, id desc limit $5 offset $6
)
select b.*, t.total
from (select count(*) as total from found) t
left join page p on true
left join batch b on b.id = p.id
order by p.created_at desc, p.id desc
