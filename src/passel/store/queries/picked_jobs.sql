select exists (select from pgqueuer where status = 'picked') as any_picked, now() - pg_postmaster_start_time() as up
