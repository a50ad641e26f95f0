-- Lanes that the sweeper might take, before they are used. Not with a shared lock: `count` locks lanes and then changes them as
-- it first saw them, and would wait for somebody who waits for it.
select id, name from lane where org_id = $1 and name = any($2::text[]) order by id for no key update
