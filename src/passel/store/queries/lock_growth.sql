-- A batch grows or tries again one request at a time. Not the batch's row: that lock comes last of all.
select pg_try_advisory_xact_lock(hashtextextended('grow:' || $1, 0))
