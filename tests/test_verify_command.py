"""`passel verify` with files, its bench and its calibration, as a user runs them."""

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.installation import Installation, PlayedModel, scratch_dir
from tests.test_cli import passel_command


@pytest.fixture(scope="module")
def served(model: PlayedModel) -> Iterator[Installation]:
    settings = {"PASSEL_VERIFICATION_MODEL": "verifier", "PASSEL_VERIFICATION_BASE_URL": model.url}
    with scratch_dir() as directory:
        passel = Installation(directory, 1, settings).start()
        yield passel
        passel.stop()


@pytest.fixture
def claims(tmp_path: Path) -> Path:
    path = tmp_path / "claims.csv"
    path.write_text('content,idempotencyKey\n7 times 8 is 56,k-1\n7 times 8 is 54,k-2\n"=1+1, is what it says",k-3\n,k-4\n')
    return path


def test_a_file_is_verified(served: Installation, claims: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.csv"
    done = passel_command(served, "verify", str(claims), "--method", "formal", "--output", str(out))
    assert done.returncode == 0, done.stderr
    assert "record 4: Content is empty, row skipped" in done.stderr and "3 of 3 verified, 0 failed" in done.stderr
    assert "7 times 8 is 56" in done.stdout and "1 accept" in done.stdout and "1 reject" in done.stdout and "1 escalate" in done.stdout
    rows = list(csv.DictReader(out.read_text().splitlines()))
    assert [row["verdict"] for row in rows] == ["true", "false", "uncertain"] and rows[2]["content"] == "'=1+1, is what it says"
    for suffix in ("json", "jsonl"):
        again = passel_command(served, "verify", str(claims), "-o", str(tmp_path / f"out.{suffix}"), "--json")
        body = json.loads(again.stdout)
        assert body["batch"]["status"] == "completed" and [item["idempotencyKey"] for item in body["items"]] == ["k-1", "k-2", "k-3"]
        text = (tmp_path / f"out.{suffix}").read_text()
        loaded: list[Any] = json.loads(text) if suffix == "json" else [json.loads(line) for line in text.splitlines()]
        assert loaded == body["items"]
    known = passel_command(served, "verify", "--batch", body["batch"]["id"])
    assert known.returncode == 0 and "1 accept" in known.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["no-such.csv"], "cannot be read"),
        ([], "Usage"),
        (["--method", "formal"], "name a claim"),
        (["1 = 1", "-o", "x.txt"], ".csv, .json or .jsonl"),
        (["bench", "--file", "no-such.jsonl"], "cannot be read"),
        (["calibrate", "no-such.jsonl", "--method", "reasoning"], "cannot be read"),
        (["--batch", "batch_none"], "Batch not found"),
    ],
)
def test_what_is_wrong_is_said(served: Installation, arguments: list[str], said: str) -> None:
    done = passel_command(served, "verify", *arguments)
    assert done.returncode in (1, 2) and said in done.stderr + done.stdout, done.stderr


def test_methods_are_measured(served: Installation) -> None:
    done = passel_command(
        served, "verify", "bench", "--method", "formal", "--method", "semantic", "--method", "tool", "-n", "100", "--json"
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert set(found) == {"formal", "semantic", "tool", "pooled"} and {one["claims"] for one in found.values()} == {100}
    assert found["formal"]["accuracy"] == 1.0 and found["formal"]["accepted"] == 0.0 and 0.15 < found["formal"]["coverage"] < 0.3
    assert found["semantic"]["coverage"] > 0.4 and found["semantic"]["accuracy"] > 0.9 and found["semantic"]["accepted"] == 0.0
    assert found["pooled"]["coverage"] >= found["semantic"]["coverage"]
    table = passel_command(served, "verify", "bench", "-n", "20")
    assert table.stdout.splitlines()[0].split()[:3] == ["method", "claims", "coverage"]
    assert passel_command(served, "facts", "list", "--json").stdout.count("bench") == 0


def labelled(path: Path, count: int) -> Path:
    """The played model thinks itself surer than it is: of what it calls true with 0.8, three in five are."""
    rows = [
        {
            "claim": f"Thing {n} is so, sure 0.8" + ("" if n % 2 else ", not so"),
            "label": "SUPPORTS" if (n * 7 % 10 < 6) == bool(n % 2) else "REFUTES",
        }
        for n in range(count)
    ]
    rows.append({"claim": "Nobody knows", "label": "NOT ENOUGH INFO"})
    path.write_text("\n".join(json.dumps(row) for row in rows))
    return path


def test_a_method_is_calibrated(served: Installation, tmp_path: Path) -> None:
    file = labelled(tmp_path / "fever.jsonl", 100)
    tried = passel_command(served, "verify", "calibrate", str(file), "--method", "reasoning", "--dry-run", "--json")
    assert tried.returncode == 0, tried.stderr
    fitted = json.loads(tried.stdout)
    assert fitted["eceAfter"] < 0.03 < fitted["eceBefore"] and fitted["calibrator"]["claims"] == 100
    claim = {"content": "The moon is so, sure 0.8", "methods": {"reasoning": 1}}
    before = served.http().post("/v1/verify", json=claim).json()
    assert before["confidence"] == 0.8 and "calibration" not in before["paradigmResults"][0]
    stored = passel_command(served, "verify", "calibrate", str(file), "--method", "reasoning")
    assert "stored as platt" in stored.stdout, stored.stderr
    after = served.http().post("/v1/verify", json=claim).json()
    assert 0.55 < after["confidence"] < 0.65
    [one] = after["paradigmResults"]
    assert (
        one["confidence"] == 0.8
        and one["calibration"]["confidence"] == after["confidence"]
        and one["calibration"]["version"].startswith("platt")
    )
    assert served.http().get(f"/v1/verify/{before['id']}").json()["confidence"] == 0.8
    passel_command(served, "verify", "calibrate", str(file), "--method", "reasoning", "--forget")
    assert served.http().post("/v1/verify", json=claim).json()["confidence"] == 0.8


def test_formal_has_no_calibrator(served: Installation) -> None:
    body = {"calibrators": {"formal": {"a": 1, "b": 0, "version": "v", "claims": 50}}}
    answer = served.http().put("/v1/settings", json=body)
    assert answer.status_code == 422 and "calibrators.formal" in answer.json()["error"]["message"]
