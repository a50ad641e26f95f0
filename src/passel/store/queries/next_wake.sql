select min(wake_at) from message where state in ('waiting', 'delayed')
