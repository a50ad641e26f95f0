-- A session that stays while another one is made from it. Shared with all that writes to it.
select org_id, id, kind, subject_id, spec, name, metadata, lane, secrets, last_seq from session where id = $1 for key share
