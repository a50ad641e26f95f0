"""The form of a secret's name, wherever one is named: manifests, sessions, credentials."""

import re

SECRET_NAME = re.compile(r"[A-Z_][A-Z0-9_]*")  # use fullmatch: `$` would allow a newline at the end
