-- Passages with any of the words, those that have most of them close together first.
select d.id, d.title, d.url, d.dated, p.text
from passage p
join document d on d.id = p.document_id
cross join websearch_to_tsquery('english', $2) as asked
where d.org_id = $1 and p.org_id = $1 and p.search @@ asked
order by ts_rank_cd(p.search, asked, 1) desc, p.document_id, p.n
limit $3
