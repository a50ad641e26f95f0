select org_id, id, agent_id, version_id, status, last_seq, active_message_id, fence, lane_id from session where id = $1 for update
