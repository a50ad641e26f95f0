-- So many facts more; less for a negative number, which workers then notice.
update fact_shelf set size = size + $2, thinned = case when $2 < 0 then version else thinned end where org_id = $1
