"""Ids in this wire format are UUIDs; ours are a prefix and a ULID, which is the same 128 bits in another spelling."""

from uuid import UUID

from passel.core.browser import PREFIX
from passel.core.ids import decode_ulid, encode_ulid

BATCH_PREFIX, EXTENSION_PREFIX = "batch", "ext"


def to_uuid(id: str) -> str:
    return str(UUID(int=decode_ulid(id.rpartition("_")[2])))


def session_id(given: str) -> str:
    """Of a session; whatever is no UUID is taken as it is, and not found."""
    return _of(given, PREFIX)


def batch_id(given: str) -> str:
    return _of(given, BATCH_PREFIX)


def extension_id(given: str) -> str:
    return _of(given, EXTENSION_PREFIX)


def workflow_id(session_id: str, number: int) -> str:
    """Of a web task: its session, and which one of it."""
    return f"{to_uuid(session_id)}.{number}"


def task_of(given: str) -> tuple[str, int] | None:
    """The session and the number of a workflow; None where it is none."""
    session, _, number = given.rpartition(".")
    return (session_id(session), int(number)) if session and number.isdecimal() and len(number) < 10 else None


def _of(given: str, prefix: str) -> str:
    try:
        return f"{prefix}_{encode_ulid(UUID(given).int)}"
    except ValueError:
        return given
