-- Deliveries of a span of time, the oldest first, behind the one named in $4.
select d.id
from delivery d
where d.subject_id = $1 and d.created_at >= $2 and d.created_at < $3
  and ($4::text is null or (d.created_at, d.id) > (select o.created_at, o.id from delivery o where o.id = $4))
order by d.created_at, d.id
limit $5
