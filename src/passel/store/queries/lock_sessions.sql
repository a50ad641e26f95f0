-- First lock of every transaction that touches sessions, always in the order of ids.
select id from session where id = any($1::text[]) order by id for update
