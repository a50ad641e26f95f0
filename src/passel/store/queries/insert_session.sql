insert into session (org_id, id, kind, subject_id, spec, name, metadata, lane, secrets, created_at)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
