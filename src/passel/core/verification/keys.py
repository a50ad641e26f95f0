"""Idempotency keys of items: the same claim is verified once. What a workload of verifications is given for them."""

import hashlib
from dataclasses import dataclass, replace
from typing import Any, Protocol

import orjson

from passel.core.context import Task
from passel.core.verification.claims import Claim


@dataclass(frozen=True, slots=True)
class Mine:
    """The verification is to run."""


@dataclass(frozen=True, slots=True)
class Busy:
    """Another one of the same claim is under way."""


@dataclass(frozen=True, slots=True)
class Taken:
    """The key stands for another content."""


@dataclass(frozen=True, slots=True)
class Known:
    """Another one has come to this result."""

    verification_id: str
    result: dict[str, Any]


Standing = Mine | Busy | Taken | Known


class Keys(Protocol):
    async def claim(self, task: Task, key: str, claim: Claim) -> Standing:
        """How a key stands in the organisation of the task."""
        ...


def digests(claim: Claim) -> tuple[str, str]:
    """Of what is claimed, and of how it is to be verified: as it was asked, not what the server or a setting made of it."""
    asked = replace(claim, models=(), calibrators={}, options=replace(claim.options, review=True)).to_json()
    content = [asked.pop("content"), asked.pop("context")]
    return _digest(content), _digest(asked)


def _digest(value: Any) -> str:
    return hashlib.sha256(orjson.dumps(value, option=orjson.OPT_SORT_KEYS)).hexdigest()
