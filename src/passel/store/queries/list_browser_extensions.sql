-- Of an organisation, the oldest first; those of $2 where that is not null.
select org_id, id, name, manifest, file_id, created_at from browser_extension
where org_id = $1 and ($2::text[] is null or id = any($2))
order by created_at, id
