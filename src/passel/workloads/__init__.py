"""The code that does the work of a kind. Knows neither HTTP requests nor SQL, and no other workload."""
