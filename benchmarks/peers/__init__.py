"""Passel beside systems that people know, in the same run: see `__main__`."""
