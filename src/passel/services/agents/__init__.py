"""Use cases of agents: publishing them, talking with them, and what a worker needs to run their turns."""
