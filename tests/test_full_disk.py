"""A full disk: work stops, nothing is lost, and it goes on when there is room again."""

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.installation import Installation, played_model, scratch_dir, wait_for_batch, wait_until
from tests.support.worlds import INVARIANTS
from tests.test_chaos import in_flight, rows, submit


@contextlib.contextmanager
def small_disk(path: Path, size: str) -> Iterator[None]:
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size},mode=755", "tmpfs", str(path)], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"this machine lets nobody mount a small disk: {done.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(path)], check=True)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small disk")
def test_a_full_disk_delays_and_loses_nothing() -> None:
    with scratch_dir() as directory, played_model() as model, small_disk(directory, "200m"):
        passel = Installation(directory, 1).start()
        agent = passel.deploy(model.url, ["wait-1"])
        made = submit(passel, agent, "full", 60, "full")
        wait_until(lambda: in_flight(passel) > 0)
        filler = directory / "filler"
        with filler.open("wb") as file, contextlib.suppress(OSError):
            while True:
                file.write(b"\0" * 65536)
                file.flush()
        # a batch that does not fit any more is refused with a sentence, or waits; never half-made
        answer = passel.http().post("/v1/agents/none/sessions", json={})
        assert answer.status_code in (404, 503)
        filler.unlink()
        done = wait_for_batch(passel.client, made["batch_id"], 90)
        assert done["counts"]["completed"] == 60
        assert rows(passel, INVARIANTS) == []
        asked = model.calls()
        assert sum(asked.values()) - 60 <= done["usage"]["in_doubt_calls"]
        assert passel.stop() == 0
