"""Verifications of a batch's answers: asked for, waited for, counted."""

import time
from collections import Counter
from collections.abc import Sequence
from typing import Any

from passel.cli.client import Client
from passel.cli.output import CommandError, note
from passel.cli.patience import until_answered

_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.2, 3.0
_SAID = {"accept": "accepted", "reject": "rejected", "escalate": "for a person to decide"}


def weights(given: Sequence[str], option: str) -> dict[str, float]:
    """Methods with their weights, as a command has them: `method` or `method=weight`."""
    return dict(_weight(one, option) for one in given)


def _weight(given: str, option: str) -> tuple[str, float]:
    name, _, weight = given.partition("=")
    try:
        return name, float(weight or 1)
    except ValueError:
        raise CommandError(f"{option} {given}: write a method, or method=weight") from None


def asked_to_verify(methods: Sequence[str] | None, model: str | None) -> dict[str, Any] | None:
    """What a request has as `verify`."""
    if not methods:
        if model is not None:
            raise CommandError("--verify-model needs --verify with the methods that ask it")
        return None
    asked: dict[str, Any] = {"methods": weights(methods, "--verify")}
    return asked if model is None else {**asked, "options": {"model": model}}


def wait_until_verified(client: Client, batch: Any, *, quiet: bool) -> Any:
    """The batch once all that its answers have begun has ended. At once where they are not verified."""
    path, said, pause = f"/v1/session-batches/{batch['batch_id']}", 0, _PAUSE_SECONDS
    while left := _left(batch):
        if left != said and not quiet:
            note(f"{batch['batch_id']} verifying: {left} answers are left")
        said = left
        time.sleep(pause)
        pause = min(_LONGEST_PAUSE_SECONDS, pause * 1.5)
        batch = until_answered(lambda: client.get(path, include_sessions=False))
    return batch


def _left(batch: Any) -> int:
    told = batch.get("verifications") or {"queued": 0, "running": 0}
    return told["queued"] + told["running"]


def print_verified(client: Client, batch: Any) -> None:
    """How many answers were accepted, rejected, and so on."""
    if "verify" not in batch:
        return
    counts = Counter[str]()
    with client.lines(f"/v1/session-batches/{batch['batch_id']}/results") as results:
        for result in results:
            if (told := result["verification"]) is not None:
                counts[_SAID[told["decision"]] if told["decision"] else told["status"]] += 1
    print("  verified  " + (", ".join(f"{n} {what}" for what, n in counts.most_common()) or "none"))
