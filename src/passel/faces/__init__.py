"""HTTP wire formats. A face translates, nothing else: no SQL, no workload, and nothing of another face."""
