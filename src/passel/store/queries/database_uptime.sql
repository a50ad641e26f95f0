select clock_timestamp() - pg_postmaster_start_time()
