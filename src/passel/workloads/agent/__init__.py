"""Agent sessions: turns, and the models that they call."""
