-- Files whose use by these holders is about to end: a sweep looks whether others are left. The first lock of such a
-- transaction.
with named as (
    select id from file
    where id in (select file_id from file_use where holder_id = any($1::text[]))
    order by id
    for no key update
)
update file f set unused_since = $2 from named where f.id = named.id
