-- Before a cancellation looks at states: an admission that is under way commits first, and its work is seen.
select index from item where batch_id = $1 and index = any($2::int[]) order by index for update
