-- Messages whose moment has come.
select id, state from message
where state in ('waiting', 'delayed') and wake_at <= $1
order by wake_at
limit $2
for update skip locked
