"""Jobs of the queue, enqueued in the transaction that wants them. A job says: work on this message.

Its dedupe key is `message:fence`. The message alone would not do: PgQueuer flushes completions up to 0.1 s late, and
a wake-up inside that window would be dropped as a duplicate.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from pgqueuer.db import AsyncpgDriver
from pgqueuer.ports.driver import Driver
from pgqueuer.queries import Queries

from passel.core.ids import MessageId, SessionId
from passel.store.database import WriteConnection

TURN = "turn"
BATCH_PRIORITY, DIRECT_PRIORITY = 0, 10


@dataclass(frozen=True, slots=True)
class Job:
    session_id: SessionId
    message_id: MessageId

    def encode(self) -> bytes:
        return f"{self.session_id} {self.message_id}".encode()

    @staticmethod
    def decode(payload: bytes | None) -> "Job":
        session_id, message_id = (payload or b"").decode().split(" ")
        return Job(SessionId(session_id), MessageId(message_id))


_template: list[Queries] = []


def queries_on(driver: Driver) -> Queries:
    """PgQueuer's statements on a connection. Their text is built once: each build reads the environment and costs
    more than the statement."""
    if not _template:
        _template.append(Queries(driver))
    return replace(_template[0], driver=driver)


async def enqueue(c: WriteConnection, jobs: Sequence[Job], fences: Sequence[int], *, priority: int) -> None:
    if jobs:
        await queries_on(AsyncpgDriver(c.raw)).enqueue(
            [TURN] * len(jobs),
            [job.encode() for job in jobs],
            [priority] * len(jobs),
            dedupe_key=[f"{job.message_id}:{fence}" for job, fence in zip(jobs, fences, strict=True)],
            on_conflict="skip",
        )
