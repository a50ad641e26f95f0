select org_id, id from upload where used_at is not null or expires_at <= $1 limit $2
