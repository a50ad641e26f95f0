-- The events of stretches of sessions' ledgers ($1-$3) that are wanted ($4-$8, where not null), in their order: about 256 KiB of
-- them. `wanted` counts those that there would be.
select x.stretch, x.org_id, x.session_id, x.seq, x.message_id, x.type, x.data, x.created_at, x.kind, x.subject_id, x.batch_id, x.metadata, x.wanted
from (
    select w.stretch, e.*, s.kind, s.subject_id, s.batch_id, s.metadata, count(*) over () as wanted,
           sum(pg_column_size(e.data)) over (order by w.stretch, e.seq) - pg_column_size(e.data) as bytes_before
    from unnest($1::text[], $2::int[], $3::int[]) with ordinality as w (id, first, last, stretch)
    join session s on s.id = w.id
    join event e on e.session_id = w.id and e.seq between w.first and w.last
    where ($4::text[] is null or s.kind = any($4))
      and ($5::text is null or s.batch_id = $5)
      and ($6::text is null or s.subject_id = $6)
      and ($7::jsonb is null or s.metadata @> $7)
      and ($8::text[] is null or e.type = any($8))
      and not exists (select from batch b where b.id = s.batch_id and b.state = 'deleting')
) x
where x.bytes_before < 262144
order by x.stretch, x.seq
