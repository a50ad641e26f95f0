"""How far a verification has come, and what is to be done next: a fold over its ledger. Pure.

round 1: every method -> pooled -> (confidence too low, and a second round is wanted) -> round 2 -> the better one counts
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from passel.core.costs import decimal_string
from passel.core.endings import Done, Fail
from passel.core.events import MESSAGE_REQUESTED, Draft, Event
from passel.core.ids import MessageId
from passel.core.verification import KIND
from passel.core.verification.calls import Calls
from passel.core.verification.claims import Claim
from passel.core.verification.events import METHOD_ENDED, METHOD_FAILED
from passel.core.verification.findings import Finding
from passel.core.verification.pooling import Pooled, decide, pool


@dataclass(slots=True)
class Round:
    """What the methods of one round came to: `found`, or `failed` with their events' data."""

    found: dict[str, Finding] = field(default_factory=dict[str, Finding])
    failed: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])

    def missing(self, claim: Claim) -> list[str]:
        return [method for method in claim.methods if method not in self.found and method not in self.failed]

    def pooled(self, claim: Claim) -> Pooled:
        return pool(self.found, claim.methods, claim.options.pooling)

    def problem(self, claim: Claim) -> str | None:
        """Why nothing follows from this round: no method came to an end, or too few did before the time was up (D24)."""
        timed_out = any(failed["timed_out"] for failed in self.failed.values())
        reached = sum(claim.methods[method] for method in self.found)
        if timed_out and reached < sum(claim.methods.values()) / 2:
            return f"Verification timeout after {claim.options.timeout / 1000:g} seconds"
        if not self.found:
            return "; ".join(f"{method}: {failed['error']}" for method, failed in self.failed.items())
        return None


@dataclass(slots=True)
class Progress:
    """Of one message. What methods came to goes in with `add`, what models said into `calls`."""

    claim: Claim
    rounds: list[Round] = field(default_factory=lambda: [Round()])
    calls: Calls = field(default_factory=Calls)

    @staticmethod
    def of(ledger: Iterable[Event], message_id: MessageId) -> "Progress":
        told = [event for event in ledger if event.message_id == message_id]
        claim = next(Claim.from_json(event.data) for event in told if event.type == MESSAGE_REQUESTED)
        progress = Progress(claim)
        progress.add(told)
        progress.calls.read(told)
        return progress

    def add(self, told: Sequence[Event | Draft]) -> None:
        for event in told:
            if event.type not in (METHOD_ENDED, METHOD_FAILED):
                continue
            data = event.data
            while len(self.rounds) < data["round"]:
                self.rounds.append(Round())
            one = self.rounds[data["round"] - 1]
            if event.type == METHOD_ENDED:
                one.found[data["method"]] = self._calibrated(data["method"], _finding(data))
            else:
                one.failed[data["method"]] = data

    def _calibrated(self, method: str, finding: Finding) -> Finding:
        calibrator = self.claim.calibrators.get(method)
        return finding if calibrator is None else calibrator.apply(finding)

    @property
    def round(self) -> int:
        return len(self.rounds)

    def missing(self) -> list[str]:
        """The methods that are to run now; none when it can be concluded."""
        current = self.rounds[-1]
        if missing := current.missing(self.claim):
            return missing
        if self._wants_another():
            self.rounds.append(Round())
            return list(self.claim.methods)
        return []

    def _wants_another(self) -> bool:
        options, first = self.claim.options, self.rounds[0]
        if not options.retry_on_low_confidence or options.min_confidence is None or len(self.rounds) > 1:
            return False
        return first.problem(self.claim) is None and first.pooled(self.claim).confidence < options.min_confidence

    def best(self) -> Round:
        """The round that counts: the one with the highest confidence (D9)."""
        good = [one for one in self.rounds if one.problem(self.claim) is None]
        return max(good, key=lambda one: one.pooled(self.claim).confidence) if good else self.rounds[0]

    def conclusion(self) -> Done | Fail:
        best = self.best()
        if (problem := best.problem(self.claim)) is not None:
            return Fail(problem)
        pooled = best.pooled(self.claim)
        decided = decide(pooled, best.found, self.claim.options.thresholds)
        return Done(
            {
                "verdict": pooled.verdict,
                "confidence": round(pooled.confidence, 4),
                "decision": decided.decision,
                "escalation": decided.reason if self.claim.options.review else None,
                "reasoning": _reasoning(self.claim, best),
                "cost_usd": decimal_string(self.calls.cost_usd),
                "cost_cents": self.calls.cost_cents,
            },
            self.calls.cost_cents,
            KIND,
        )


def _finding(data: dict[str, Any]) -> Finding:
    return Finding(data["verdict"], data["confidence"], data["reasoning"], data["applicable"], tuple(data["evidence"]))


def _reasoning(claim: Claim, best: Round) -> str:
    """What the methods said, those with the most weight first; those that abstained say so where nobody else did."""
    order = sorted(best.found, key=lambda method: -claim.methods[method])
    said = [method for method in order if best.found[method].applicable] or order
    return (
        " ".join(best.found[method].reasoning for method in said)
        if len(said) == 1
        else "\n".join(f"{method}: {best.found[method].reasoning}" for method in said)
    )
