-- The newest upload counts, until the snapshot is finalized.
update source_snapshot set blob_path = $2 where id = $1 and status = 'pending_upload' returning id
