"""A proxy of a tenant's own that a session goes out through (section 5.3 of the `anchor` contract, `custom`)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

SCHEMES = ("http", "https", "socks5")
_SHAPE = "PROTOCOL://HOST:PORT, where PROTOCOL is http, https or socks5"
_LONGEST = 1024
_LONGEST_OF_SOCKS = 255  # RFC 1929, section 2


@dataclass(frozen=True, slots=True)
class Upstream:
    """`user` is None where it asks for nobody. The password is written nowhere in clear."""

    scheme: str
    host: str
    port: int
    user: str | None = field(default=None, repr=False)
    password: str = field(default="", repr=False)

    @property
    def server(self) -> str:
        return f"{self.scheme}://{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}"

    @property
    def credentials(self) -> dict[str, str] | None:
        """What is to be sealed."""
        return None if self.user is None else {"user": self.user, "password": self.password}

    @staticmethod
    def parse(server: str, credentials: Mapping[str, Any] | None = None) -> "Upstream":
        """Raises `ValueError` that says what is wrong with `server`, without repeating it: it may hold a password."""
        if len(server) > _LONGEST or not server.isascii() or not server.isprintable() or any(sign in server for sign in " \\"):
            raise ValueError(f"must be {_SHAPE}, in ASCII")
        try:
            parts = urlsplit(server)
            scheme, host, port = parts.scheme, parts.hostname, parts.port
        except ValueError as error:
            raise ValueError(f"must be {_SHAPE}") from error
        if "@" in parts.netloc:
            raise ValueError("must hold no credentials: give them as username and password")
        if scheme not in SCHEMES or not host or not port or parts.path not in ("", "/") or parts.query or parts.fragment:
            raise ValueError(f"must be {_SHAPE}")
        given = credentials or {}
        return Upstream(scheme, host, port, given.get("user"), given.get("password", ""))


def credentials_problem(scheme: str, user: str, password: str) -> tuple[str, str] | None:
    """Which of the two is wrong, `username` or `password`, and why."""
    for name, value in (("username", user), ("password", password)):
        if any(ord(sign) < 32 or ord(sign) == 127 for sign in value):
            return name, "must have no control characters"
        if len(value.encode()) > (_LONGEST_OF_SOCKS if scheme == "socks5" else _LONGEST):
            return name, "is too long"
    if scheme != "socks5" and ":" in user:
        return "username", "must have no colon (RFC 7617)"
    if scheme == "socks5" and not user:
        return "username", "must be given beside a password (RFC 1929)"
    return None
