-- Lanes that nobody has used for long and nothing waits in.
delete from lane
where id in (
    select l.id from lane l
    where l.active = 0 and l.parked = 0 and l.used_at < $1 and l.capacity is null
      and not exists (select from batch_lane bl where bl.lane_id = l.id and bl.held > 0)
      and not exists (select from message m where m.lane_id = l.id and m.state = 'held' and m.throttled)
      and not exists (select from webhook w where w.lane_id = l.id)
    limit 1000
    for update skip locked
)
returning id
