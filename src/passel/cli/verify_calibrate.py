"""What a method's confidence is worth, learned from claims whose truth is known."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from passel.cli.client import DEFAULT_URL, Client, Key, Url
from passel.cli.output import CommandError, print_json
from passel.cli.verify_bench import labelled, run
from passel.cli.verify_claims import Model, request


def calibrate(
    file: Annotated[
        Path, typer.Argument(help="Labelled claims: JSONL or JSON as FEVER or AVeriTeC have it, or a CSV with claim and label.")
    ],
    method: Annotated[str, typer.Option("--method", help="The method.")],
    model: Model = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Fit, and store nothing.")] = False,
    forget: Annotated[bool, typer.Option("--forget", help="Remove the method's calibrator; the file is not read.")] = False,
    json_output: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    url: Url = DEFAULT_URL,
    key: Key = "",
) -> None:
    """Fit a calibrator for a method of this organisation and store it: from then on the method's confidence is what it was worth on
    these claims. Verifications that were made before keep theirs."""
    client = Client(url, key)
    stored: dict[str, Any] = client.get("/v1/settings")["calibrators"]
    if forget:
        client.put("/v1/settings", {"calibrators": {name: one for name, one in stored.items() if name != method}})
        print(f"{method} has no calibrator any more")
        return
    fitted, before, after = _fit(client, file, method, model)
    if not dry_run:
        client.put("/v1/settings", {"calibrators": stored | {method: fitted.to_json()}})
    if json_output:
        print_json({"method": method, "calibrator": fitted.to_json(), "eceBefore": before, "eceAfter": after, "stored": not dry_run})
        return
    print(f"{method}: a {fitted.a:.3f}, b {fitted.b:.3f}, of {fitted.claims} claims; calibration error {before:.3f} -> {after:.3f} on them")
    print("nothing is stored (--dry-run)" if dry_run else f"stored as {fitted.version}")


def _fit(client: Client, file: Path, method: str, model: str | None) -> tuple[Any, float, float]:
    """The calibrator, and the calibration error on its own claims without and with it."""
    from dataclasses import replace

    from passel.core.verification.calibration import fit
    from passel.core.verification.findings import Finding
    from passel.core.verification.measuring import Judged, calibration_error

    judged: list[Judged] = [one for one in run(client, labelled(file), request([method], model))[method] if one.decided]
    try:
        fitted = fit([one.support for one in judged], [one.true for one in judged], f"platt {datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}")
    except ValueError as error:
        raise CommandError(f"{method} on {file}: {error} (among those that got a verdict)") from error
    again: list[Judged] = []
    for one in judged:
        finding = fitted.apply(Finding(one.verdict or "", one.confidence, ""))
        again.append(replace(one, verdict=finding.verdict, confidence=finding.confidence))
    return fitted, calibration_error(judged) or 0.0, calibration_error(again) or 0.0
