-- The highest number that is committed.
select coalesce(max(n), 0) from org_event
