select count(*) from message where batch_id = $1 and state = 'running' and outcome = 'completed'
