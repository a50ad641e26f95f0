-- Facts, each text once an organisation: one that is there already keeps its id and takes over the rest.
insert into fact (org_id, id, text, polarity, source, date, embedding, version, created_at)
select $1, f.*, $8, $9
from unnest($2::text[], $3::text[], $4::boolean[], $5::text[], $6::date[], $7::bytea[])
    as f (id, text, polarity, source, date, embedding)
on conflict (org_id, md5(text)) do update
set polarity = excluded.polarity, source = excluded.source, date = excluded.date, embedding = excluded.embedding,
    version = excluded.version
returning id, text, polarity, source, date, created_at, version
