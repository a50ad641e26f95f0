"""What a checker and its workers say to each other: frames of a length and JSON."""

import struct
from typing import Any, BinaryIO

import orjson

from passel.core.verification.findings import Finding

_LENGTH = struct.Struct("<I")


def framed(body: Any) -> bytes:
    raw = orjson.dumps(body)
    return _LENGTH.pack(len(raw)) + raw


def read(stream: BinaryIO) -> Any:
    """The next frame, None at the end."""
    head = stream.read(_LENGTH.size)
    if len(head) < _LENGTH.size:
        return None
    return orjson.loads(stream.read(_LENGTH.unpack(head)[0]))


def split(buffer: bytearray) -> list[Any]:
    """The whole frames that a buffer begins with, taken from it."""
    found: list[Any] = []
    at = 0
    while len(buffer) - at >= _LENGTH.size:
        end = at + _LENGTH.size + _LENGTH.unpack_from(buffer, at)[0]
        if end > len(buffer):
            break
        found.append(orjson.loads(memoryview(buffer)[at + _LENGTH.size : end]))
        at = end
    del buffer[:at]
    return found


def packed(finding: Finding) -> list[Any]:
    return [finding.verdict, finding.confidence, finding.reasoning, finding.applicable, finding.evidence]


def unpacked(raw: list[Any]) -> Finding:
    return Finding(raw[0], raw[1], raw[2], raw[3], tuple(raw[4]))
