"""The work of the kind `agent`: turns."""
