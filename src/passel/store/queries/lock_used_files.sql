-- The files that these holders name. A statement of its own: one that locks rows, which others hold in a shared way, and
-- then changes them as it first saw them may wait for somebody who waits for it.
select id from file
where id in (select file_id from file_use where holder_id = any($1::text[]))
order by id
for no key update
