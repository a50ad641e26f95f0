-- First messages of a kind ($1) that nobody has taken up since before $2, locked in the order of their ids.
select id from message
where id in (
    select id from message
    where kind = $1 and state in ('held', 'ready') and created_at < $2 and attempt = 0
    order by created_at limit $3
)
order by id
for update skip locked
