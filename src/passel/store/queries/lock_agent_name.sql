-- Publishing under one name is one at a time; the lock ends with the transaction.
select pg_advisory_xact_lock(hashtextextended('agent:' || $1 || ':' || $2, 0))
