-- The rows of batches' ledgers that stretches of them ($1-$3) lie in, of the batches that are wanted ($4-$6, where not null).
select w.stretch, b.kind, b.subject_id, e.batch_id, e.last_seq, e.changes, e.queued, e.running, e.completed, e.failed, e.status, e.created_at
from unnest($1::text[], $2::int[], $3::int[]) with ordinality as w (id, first, last, stretch)
join batch b on b.id = w.id and b.state <> 'deleting'
join batch_event e on e.batch_id = w.id and e.last_seq >= w.first
 and e.last_seq <= (select min(last_seq) from batch_event where batch_id = w.id and last_seq >= w.last)
where ($4::text[] is null or b.kind = any($4))
  and ($5::text is null or b.id = $5)
  and ($6::text is null or b.subject_id = $6)
order by w.stretch, e.last_seq
