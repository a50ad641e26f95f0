delete from source_snapshot s
where s.id = $1 and not exists (select from agent_version v where v.snapshot_id = s.id)
returning id
