"""Passel: batches of durable sessions on your own machines."""

__version__ = "0.1.0"
