"""Tier B."""


class Formal: ...
