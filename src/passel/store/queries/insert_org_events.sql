-- Of new sessions, each of which has its first $3 events: rows of the organisation's ledger, one for each list of ids ($2, with
-- commas between them). Wakes its followers.
with listed as (
    insert into org_event (org_id, ids, firsts, lasts, created_at)
    select $1, n.ids, array_fill(1, array[cardinality(n.ids)]), array_fill($3::int, array[cardinality(n.ids)]), $4
    from unnest($2::text[]) with ordinality as l (list, nth)
    cross join lateral (select string_to_array(l.list, ',') as ids) n
    order by l.nth
)
select pg_notify('passel_told', $1)
