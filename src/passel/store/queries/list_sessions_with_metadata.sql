-- The partial index on metadata serves this one; with nothing to match it would only be in the way.
select org_id, id, agent_id, version_id, name, metadata, llm_id, internet_access, status, last_seq, last_message_id, last_message_status, created_at
from session
where org_id = $1
  and metadata @> $5::jsonb and metadata <> '{}'::jsonb
  and ($2::text is null or agent_id = $2)
  and ($3::text is null or status = $3)
  and ($4::text is null or id < $4)
order by id desc
limit $6
