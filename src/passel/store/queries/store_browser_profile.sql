-- By who writes it, and nobody else.
update browser_profile set file_id = $4, session_id = $3, saving = false where org_id = $1 and id = $2 and writer_id = $3 returning id
