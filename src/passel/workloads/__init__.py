"""The work of each kind, one room a kind. A workload knows neither HTTP nor SQL, and no other kind."""
