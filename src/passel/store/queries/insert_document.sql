with document as (
    insert into document (org_id, id, title, url, dated, characters, passages, created_at)
    values ($1, $2, $3, $4, $5, $6, cardinality($7::text[]), $8)
    returning org_id, id
)
insert into passage (org_id, document_id, n, text)
select d.org_id, d.id, p.n, p.text from document d cross join unnest($7::text[]) with ordinality as p (text, n)
