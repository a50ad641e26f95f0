-- Of an organisation, the oldest first; those of the names $2 where that is not null.
select org_id, name, id, description, der, created_at from browser_certificate
where org_id = $1 and ($2::text[] is null or name = any($2))
order by created_at, name
