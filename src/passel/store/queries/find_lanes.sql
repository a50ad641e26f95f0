-- Shared locks: the sweeper leaves alone what is about to be used.
select id, name, used_at from lane where org_id = $1 and name = any($2::text[]) order by id for key share
