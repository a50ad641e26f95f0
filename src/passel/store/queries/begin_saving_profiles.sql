-- Those that a session writes.
update browser_profile set saving = true where writer_id = $1 returning org_id, name, id
