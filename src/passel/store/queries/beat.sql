-- No row back: this worker was given up for dead.
update worker set seen_at = clock_timestamp() where id = $1 returning id
