-- Unless the organisation has as many ($7). No row back: it has.
insert into browser_extension (org_id, id, name, manifest, file_id, created_at)
select $1, $2, $3, $4, $5, $6
where (select count(*) from browser_extension where org_id = $1) < $7::int
returning id
