"""The rules of Passel as pure code: no I/O, no clock, no async."""
