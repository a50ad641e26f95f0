-- Newest first. `total` are all that there are.
select d.org_id, d.id, d.title, d.url, d.dated, d.characters, d.passages, d.created_at, t.total
from (select count(*) as total from document where org_id = $1) t
left join lateral (
    select * from document where org_id = $1 order by created_at desc, id desc limit $2 offset $3
) d on true
order by d.created_at desc, d.id desc
