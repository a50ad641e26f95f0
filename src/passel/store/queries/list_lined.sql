select id from message where session_id = $1 and state = 'lined' order by number
