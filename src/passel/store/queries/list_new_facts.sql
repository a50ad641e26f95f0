-- Facts written after a version ($2), from behind the last one read ($3, $4), with what claims are compared with.
select id, text, polarity, source, date, created_at, version, embedding from fact
where org_id = $1 and version > $2 and (version, id) > ($3, $4)
order by version, id limit $5
