-- Numbers behind $1 that are committed, in their order.
select n from org_event where n > $1 order by n limit $2
