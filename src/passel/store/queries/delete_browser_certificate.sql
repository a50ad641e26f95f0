delete from browser_certificate where org_id = $1 and name = $2 returning id
