-- Under the files' locks, or while another holder that cannot go keeps them.
insert into file_use (org_id, file_id, holder_id)
select $1, file_id, $3 from unnest($2::text[]) as f (file_id)
on conflict do nothing
