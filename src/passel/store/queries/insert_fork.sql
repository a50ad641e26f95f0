insert into session (
    org_id, id, kind, subject_id, spec, name, metadata, lane, secrets, created_at,
    forked_from, forked_seq, last_seq, message_count, last_message_id
)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)
