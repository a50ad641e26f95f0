"""How good the methods are, on claims whose truth is known."""

import csv
import json
import tempfile
from collections.abc import Generator, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer

from passel.cli import bench_claims
from passel.cli.bench_claims import Claim
from passel.cli.client import DEFAULT_URL, Client, Key, Url
from passel.cli.output import CommandError, note, print_json, print_table
from passel.cli.verify_claims import Methods, Model, request, results, submit, watch

ORGANISATION = "passel verify bench"
_AT_ONCE, _FACTS_AT_ONCE = 8, 500
_LABELS = {
    "true": True, "false": False, "supports": True, "refutes": False, "supported": True, "refuted": False, "1": True, "0": False,
    "yes": True, "no": False,
}  # fmt: skip


def bench(
    method: Methods = None,
    model: Model = None,
    claims: Annotated[int, typer.Option("--claims", "-n", min=10, max=10_000, help="How many claims are made.")] = 200,
    seed: Annotated[int, typer.Option(help="Which ones.")] = 1,
    file: Annotated[
        Path | None,
        typer.Option("--file", help="Labelled claims instead: JSONL or JSON as FEVER or AVeriTeC have it, or a CSV with claim and label."),
    ] = None,
    json_output: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    url: Url = DEFAULT_URL,
    key: Key = "",
) -> None:
    """Measure methods, each by itself and pooled: how many claims get a verdict, how many of those are right, how many false
    claims would be accepted, how far confidence can be believed, time and cost. Facts are loaded into an organisation of its own."""
    client, asked = Client(url, key), request(method, model)
    if file is None:
        with _bench_organisation(client, url) as own:
            _load_facts(own)
            judged = run(own, bench_claims.claims(claims, seed), asked)
    else:
        judged = run(client, labelled(file), asked)
    table = measured(judged)
    if json_output:
        print_json({name: asdict(one) for name, one in table.items()})
        return
    print_table(
        ["method", "claims", "coverage", "accuracy", "false accepted", "false believed", "ECE", "Brier", "p50 ms", "p95 ms", "cents"],
        [_row(name, one) for name, one in table.items()],
    )


def _row(name: str, one: Any) -> list[str]:
    shares = [one.coverage, one.accuracy, one.accepted, one.believed]
    errors, times = [one.ece, one.brier], [one.p50, one.p95]
    return [
        name,
        str(one.claims),
        *("" if share is None else f"{share:.1%}" for share in shares),
        *("" if error is None else f"{error:.3f}" for error in errors),
        *("" if time is None else f"{time:,.0f}" for time in times),
        f"{one.cents:.2f}",
    ]


def labelled(file: Path) -> list[Claim]:
    """Claims with labels; those without enough information are left out. Raises `CommandError`."""
    try:
        rows = list(_rows(file))
    except (OSError, ValueError, csv.Error) as error:
        raise CommandError(f"{file} cannot be read: {error}") from error
    found: list[Claim] = []
    for n, row in enumerate(rows, 1):
        text, label = row.get("claim") or row.get("content"), row.get("label")
        if not isinstance(text, str) or not text.strip() or label is None:
            raise CommandError(f"{file}, record {n}: it needs claim and label")
        true = _LABELS.get(str(label).strip().lower())
        if true is not None:
            found.append(Claim(text, true, "labelled"))
    if not found:
        raise CommandError(f"{file} has no claim with a label such as SUPPORTS, REFUTES, true or false")
    if left := len(rows) - len(found):
        note(f"{left} claims without enough information are left out")
    return found


def _rows(file: Path) -> Iterable[Mapping[str, Any]]:
    text = file.read_text(encoding="utf-8-sig")
    if file.suffix.lower() == ".csv":
        return [{(name or "").strip().lower(): value for name, value in row.items()} for row in csv.DictReader(text.splitlines())]
    loaded: Any = json.loads(text) if text.lstrip().startswith("[") else [json.loads(line) for line in text.splitlines() if line.strip()]
    if not all(isinstance(row, dict) for row in loaded):
        raise ValueError("its records must be objects")
    return loaded


@contextmanager
def _bench_organisation(client: Client, url: str) -> Generator[Client]:
    """As the organisation that benches have for themselves, with a key for this one."""
    known = next((org for org in client.get("/v1/organizations")["organizations"] if org["name"] == ORGANISATION), None)
    org = known or client.post("/v1/organizations", {"name": ORGANISATION})
    keys = f"/v1/organizations/{org['id']}/api-keys"
    made = client.post(keys, {"label": "bench", "scopes": ["platform"]})
    try:
        yield Client(url, made["api_key"])
    finally:
        client.delete(f"{keys}/{made['id']}")


def _load_facts(client: Client) -> None:
    told = bench_claims.facts()
    facts = [{"text": fact, "source": "bench"} for sentences in told.values() for fact in sentences]
    for first in range(0, len(facts), _FACTS_AT_ONCE):
        client.post("/v1/facts", facts[first : first + _FACTS_AT_ONCE])
    known = {document["title"] for document in client.get("/v1/documents", limit=100)["data"]}
    for kind, sentences in told.items():
        if f"bench: {kind}" not in known:
            client.post("/v1/documents", {"title": f"bench: {kind}", "text": "\n".join(sentences), "url": f"https://{kind}.example.org/"})


def run(client: Client, made: Sequence[Claim], asked: dict[str, Any]) -> dict[str, list[Any]]:
    """What was found of each claim: by each method, and `pooled` where there are several."""
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "bench.jsonl"
        path.write_bytes(b"".join(orjson.dumps({"content": claim.text}) + b"\n" for claim in made))
        batch = watch(client, submit(client, path, asked))
    items = list(results(client, batch["id"]))
    judged: dict[str, list[Any]] = {method: [] for method in asked["methods"]}
    if len(judged) > 1:
        judged["pooled"] = []
    with ThreadPoolExecutor(_AT_ONCE) as threads:
        read = threads.map(lambda item: client.get(f"/v1/verify/{item['verificationId']}") if item["verificationId"] else None, items)
        for claim, item, found in zip(made, items, read, strict=True):
            _take(judged, claim, item, found)
    return judged


def _take(judged: dict[str, list[Any]], claim: Claim, item: Any, found: Any) -> None:
    from passel.core.verification.findings import Finding
    from passel.core.verification.measuring import Judged
    from passel.core.verification.pooling import Thresholds, decide, pool

    by_method = {one["paradigm"]: one for one in (found or {}).get("paradigmResults", ())}
    for method, rows in judged.items():
        if method == "pooled":
            rows.append(
                Judged(
                    claim.true,
                    item["verdict"],
                    item["confidence"] or 0,
                    item["decision"],
                    item["processingTimeMs"] or 0,
                    item["costCents"] or 0,
                )
            )
            continue
        one = by_method.get(method)
        if one is None or not one["applicable"]:
            rows.append(Judged(claim.true, None, milliseconds=one["processingTimeMs"] if one else 0))
            continue
        finding = {method: Finding(one["verdict"], one["confidence"], "")}
        decision = decide(pool(finding, {method: 1.0}), finding, Thresholds()).decision
        cents = (item["costCents"] or 0) if len(judged) == 1 else 0
        rows.append(Judged(claim.true, one["verdict"], one["confidence"], decision, one["processingTimeMs"], cents))


def measured(judged: Mapping[str, Sequence[Any]]) -> dict[str, Any]:
    from passel.core.verification.measuring import measure

    return {name: measure(rows) for name, rows in judged.items()}
