-- $3 more sessions in an organisation's minute, or in a new one where that is over at $2. No row back: there would be more than $4.
insert into browser_minute as m (org_id, began_at, made)
values ($1, $2, $3)
on conflict (org_id) do update
set began_at = case when abs(extract(epoch from excluded.began_at - m.began_at)) < 60 then m.began_at else excluded.began_at end,
    made = case when abs(extract(epoch from excluded.began_at - m.began_at)) < 60 then m.made else 0 end + excluded.made
where abs(extract(epoch from excluded.began_at - m.began_at)) >= 60 or m.made + excluded.made <= $4
returning began_at, made
