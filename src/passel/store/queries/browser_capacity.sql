-- How many sessions of browsers the workers that are there run at once; 0 where none runs any.
select coalesce(sum((places ->> 'browser')::int), 0)::int from worker
