-- Messages that may have killed their worker, as suspected as from $3 to $4.
select id
from message
where state = 'suspect' and kind = $1 and suspicion between $3 and $4
order by id
limit $2
for update skip locked
