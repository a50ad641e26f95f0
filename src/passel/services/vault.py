"""Secrets at rest: AES-256-GCM, each value with a nonce of its own and bound to what it belongs to."""

import contextlib
import hashlib
import hmac
import json
import os
import re
import secrets
import tempfile
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from passel.core.errors import Invalid, NotReady

_NONCE_BYTES = 12
_KEY_BYTES = 32


def _make_key(path: Path) -> None:
    """The file appears with the whole key in it, or not at all, also when several processes make it at once."""
    with tempfile.NamedTemporaryFile("w", dir=path.parent, prefix=".secret") as file:  # readable by its owner only
        file.write(secrets.token_hex(_KEY_BYTES))
        file.flush()
        os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):
            os.link(file.name, path)


class VaultError(NotReady):
    """A sealed value does not open with this server's secret key."""


class Vault:
    """`key` is 32 bytes. Everything sealed with it is lost with it."""

    def __init__(self, key: bytes) -> None:
        self._aead = AESGCM(hashlib.sha256(b"passel seal" + key).digest())
        self._signing_key = hashlib.sha256(b"passel sign" + key).digest()

    @classmethod
    def of_directory(cls, directory: Path) -> "Vault":
        """The key kept in `directory`, which is made on first use and readable by its owner only. Raises `Invalid`
        for a file that holds no such key."""
        path = directory / "secret.key"
        if not path.exists():
            _make_key(path)
        text = path.read_text().strip()
        if not re.fullmatch(f"[0-9a-f]{{{2 * _KEY_BYTES}}}", text):
            raise Invalid(f"{path} holds no key of {_KEY_BYTES} bytes in hex: restore it from a backup; what it sealed opens with it only")
        return cls(bytes.fromhex(text))

    def seal(self, value: Any, owner: str) -> bytes:
        """`value` is anything that JSON can hold. It opens for the same `owner` only."""
        nonce = os.urandom(_NONCE_BYTES)
        return nonce + self._aead.encrypt(nonce, json.dumps(value).encode(), owner.encode())

    def open(self, sealed: bytes, owner: str) -> Any:
        """Raises `VaultError` when it was sealed with another key, or for another owner."""
        try:
            return json.loads(self._aead.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], owner.encode()))
        except InvalidTag as error:
            raise VaultError(
                "a stored secret does not open: this server's secret key is not the one it was sealed with (PASSEL_SECRET_KEY, or secret.key in the data directory)"
            ) from error

    def sign(self, text: str) -> str:
        """HMAC-SHA-256 in hexadecimal."""
        return hmac.new(self._signing_key, text.encode(), hashlib.sha256).hexdigest()

    def same(self, one: str, other: str) -> bool:
        """In constant time; both must be ASCII."""
        return hmac.compare_digest(one, other)

    def verify(self, text: str, signature: str) -> bool:
        """In constant time. `signature` must be ASCII: anything else is a `TypeError`."""
        return hmac.compare_digest(self.sign(text), signature)
