"""Tier B."""
