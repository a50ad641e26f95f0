-- Under the session's lock: messages that leave its line, of each of which its ledger is told once.
update session set lined = lined - $2, last_seq = last_seq + $2 where id = $1 returning last_seq
