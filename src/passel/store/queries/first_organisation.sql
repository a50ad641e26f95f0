select org_id from api_key where revoked_at is null order by created_at limit 1
