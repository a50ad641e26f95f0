-- Files that were said to be unused before $1. Who is about to name one holds it, and is not waited for.
select id
from file
where unused_since < $1
order by unused_since
limit $2
for update skip locked
