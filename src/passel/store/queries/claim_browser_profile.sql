-- Under the profile's lock, which was taken by a statement before: a writer that was committed until then is seen. Where $4 it must be a
-- new one, whose description is $5.
update browser_profile p
set writer_id = $3, saving = false, description = case when $4 then $5 else description end
where p.org_id = $1 and p.name = $2 and not ($4 and p.file_id is not null)
  and (p.writer_id is null or (p.writer_id = $3 and not $4) or not exists (
      select from session s join message m on m.id = s.last_message_id where s.id = p.writer_id and m.ended_at is null))
returning id
