"""Passel: the same turns as one batch through the HTTP API of a real installation with one worker.

Measured as in `benchmarks.turns`: from the creation of the batch to the end of its last session, by the batch's own
clock. The making of all its sessions is in it. The start of the installation, a warm-up and the look at the answers
are not.
"""

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from tests.support.installation import Installation, item, scratch_dir, wait_for_batch

WARM_UP = 500
BATCH_SECONDS = 300

WHAT = "Passel"
DURABLE = "yes"
NOTES = "1 worker, PostgreSQL on the same machine"


@dataclass(frozen=True)
class Passel:
    installation: Installation
    agent_id: str

    def turns(self, sessions: int, tag: str) -> float:
        client = self.installation.client
        texts = [f"{tag} {n}" for n in range(sessions)]
        lines = [json.dumps(item(self.agent_id, text)).encode() + b"\n" for text in texts]
        batch_id = client.post_lines("/v1/session-batches", lambda: iter(lines))["batch_id"]
        batch = wait_for_batch(client, batch_id, BATCH_SECONDS)
        with client.lines(f"/v1/session-batches/{batch_id}/results") as results:
            assert [result["text"] for result in results] == [f"echo: {text}" for text in texts], batch
        begun, done = (datetime.fromisoformat(batch[name]) for name in ("created_at", "finished_at"))
        return sessions / (done - begun).total_seconds()


@contextlib.contextmanager
def running(model_url: str, concurrency: int) -> Iterator[Passel]:
    settings = {"PASSEL_CONCURRENCY": str(concurrency * 2), "PASSEL_LANE_CONCURRENCY": str(concurrency)}
    with scratch_dir() as data:
        installation = Installation(data, 1, settings).start()
        try:
            passel = Passel(installation, installation.deploy(model_url, ["echo"]))
            passel.turns(WARM_UP, "warm-up")
            yield passel
        finally:
            installation.stop()
