insert into session (org_id, id, agent_id, version_id, name, metadata, llm_id, lane_id, internet_access, secrets, status, created_at)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, 'idle', $11)
