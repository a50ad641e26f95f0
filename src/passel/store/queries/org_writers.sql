-- Transactions that may have drawn numbers and are under way. They hold this lock from before they draw one to their end.
select virtualtransaction as id
from pg_locks
where locktype = 'relation' and relation = 'org_event'::regclass and mode = 'RowExclusiveLock'
  and database = (select oid from pg_database where datname = current_database())
