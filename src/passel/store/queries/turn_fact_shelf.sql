-- The next version of an organisation's facts, made by whoever changes them: one at a time, until the transaction ends.
insert into fact_shelf (org_id, version) values ($1, 1)
on conflict (org_id) do update set version = fact_shelf.version + 1
returning version, thinned, size
