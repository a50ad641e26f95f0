"""Identifiers: a prefix that names the kind, and a ULID in lower case.

A ULID is 48 bits of Unix milliseconds and 80 bits of entropy in Crockford's base 32, so ids sort by the time
they were made (https://github.com/ulid/spec). Within one millisecond an `IdSource` counts upwards, which keeps
the ids of one batch in input order and lets PostgreSQL append to its indexes instead of splitting pages.
"""

import secrets
import threading
from collections.abc import Callable
from typing import NewType

OrgId = NewType("OrgId", str)
KeyId = NewType("KeyId", str)
CredentialId = NewType("CredentialId", str)
SessionId = NewType("SessionId", str)
MessageId = NewType("MessageId", str)
BatchId = NewType("BatchId", str)
FileId = NewType("FileId", str)
EffectId = NewType("EffectId", str)
WorkerId = NewType("WorkerId", int)
LaneId = NewType("LaneId", int)

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_VALUES = {digit: value for value, digit in enumerate(_ALPHABET)}
_PAIRS = [a + b for a in _ALPHABET for b in _ALPHABET]
_ENTROPY_BITS = 80


def encode_ulid(value: int) -> str:
    """The 26 characters of a 128-bit ULID."""
    digits: list[str] = []
    for _ in range(13):
        digits.append(_PAIRS[value & 1023])
        value >>= 10
    digits.reverse()
    return "".join(digits)


def decode_ulid(digits: str) -> int:
    """The 128 bits of a ULID. Raises `KeyError` for what is none."""
    value = 0
    for digit in digits:
        value = value * 32 + _VALUES[digit]
    return value


class IdSource:
    """Makes ids that never go backwards, even when the clock does. Safe in several threads. `milliseconds` tells the
    Unix time."""

    def __init__(self, milliseconds: Callable[[], int]) -> None:
        self._milliseconds = milliseconds
        self._last = 0
        self._steps: list[int] = []
        self._lock = threading.Lock()

    def new(self, prefix: str) -> str:
        """`prefix`, an underscore and 26 characters."""
        with self._lock:
            fresh = self._milliseconds() << _ENTROPY_BITS
            if fresh >> _ENTROPY_BITS > self._last >> _ENTROPY_BITS:
                # the top bit stays clear, so that counting up cannot run into the next millisecond
                self._last = fresh | secrets.randbits(_ENTROPY_BITS - 1)
            else:
                self._last += 1 + self._step()
            return f"{prefix}_{encode_ulid(self._last)}"

    def _step(self) -> int:
        """A random 24-bit number; they are drawn by the thousand, since each draw is a system call."""
        if not self._steps:
            drawn = secrets.token_bytes(3 * 1024)
            self._steps = [int.from_bytes(drawn[at : at + 3]) for at in range(0, len(drawn), 3)]
        return self._steps.pop()

    def org(self) -> OrgId:
        return OrgId(self.new("org"))

    def key(self) -> KeyId:
        return KeyId(self.new("key"))

    def credential(self) -> CredentialId:
        return CredentialId(self.new("cred"))

    def session(self) -> SessionId:
        return SessionId(self.new("sess"))

    def message(self) -> MessageId:
        return MessageId(self.new("msg"))

    def batch(self) -> BatchId:
        return BatchId(self.new("batch"))

    def file(self) -> FileId:
        return FileId(self.new("file"))

    def effect(self) -> EffectId:
        return EffectId(self.new("eff"))
