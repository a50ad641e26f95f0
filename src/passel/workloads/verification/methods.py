"""What every method of verification is."""

from dataclasses import dataclass
from typing import Protocol

from passel.core.verification.claims import Claim
from passel.core.verification.findings import Finding
from passel.workloads.verification.formal import Checker


class Method(Protocol):
    """Looks at a claim. What it cannot say anything about it abstains from; what it raises is an accident, and tried again."""

    async def __call__(self, claim: Claim) -> Finding: ...


@dataclass(frozen=True, slots=True)
class Formal:
    """Decides without a model (`passel.workloads.verification.formal`)."""

    checker: Checker

    async def __call__(self, claim: Claim) -> Finding:
        return await self.checker.check(claim.content, claim.premises)
