"""The workload of the kind `webhook`: carrying letters."""
