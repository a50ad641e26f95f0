"""Appending to ledgers. Numbers are given out under the session's row: no gaps, no reordering."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

import orjson

from passel.core import events
from passel.core.events import Draft, Event
from passel.core.ids import MessageId, OrgId, SessionId
from passel.core.states import RUNNING
from passel.store.announcing import Watch
from passel.store.database import WriteConnection
from passel.store.leases import Lease


class Telling(NamedTuple):
    """What a session's ledger is told of one message, `ended` when it is the last of it."""

    org_id: OrgId
    session_id: SessionId
    message_id: MessageId
    drafts: Sequence[Draft]
    ended: bool = False

    @staticmethod
    def of(lease: Lease, drafts: Sequence[Draft], *, ended: bool = False) -> "Telling":
        return Telling(lease.org_id, lease.session_id, lease.message_id, drafts, ended)


class Told(NamedTuple):
    """`events` are those of the message; an `idle` session was told that too, and has no message in line. `watch` is the
    webhook of its subject, if there is one."""

    events: tuple[Event, ...]
    last_seq: int
    idle: bool
    watch: Watch | None = None


async def append(c: WriteConnection, tellings: Sequence[Telling], now: datetime) -> dict[SessionId, Told]:
    """Append, at most one telling a session."""
    if not tellings:
        return {}
    became_idle = events.session_state(events.IDLE, RUNNING)
    rows = await c.fetch(
        "append_events",
        [t.session_id for t in tellings],
        [t.message_id for t in tellings],
        [len(t.drafts) for t in tellings],
        [t.ended for t in tellings],
        [t.session_id for t in tellings for _ in t.drafts],
        [n for t in tellings for n in range(len(t.drafts) - 1, -1, -1)],
        [draft.type for t in tellings for draft in t.drafts],
        [orjson.dumps(draft.data) for t in tellings for draft in t.drafts],
        became_idle.data,
        now,
    )
    by_session = {t.session_id: t for t in tellings}
    return {
        row["id"]: Told(_numbered(by_session[row["id"]], row["last"], now), row["last"], row["idle"], Watch.of_row(row)) for row in rows
    }


def _numbered(telling: Telling, last: int, now: datetime) -> tuple[Event, ...]:
    org_id, session_id, message_id, drafts, _ = telling
    first = last - len(drafts) + 1
    return tuple(Event(org_id, session_id, first + n, message_id, draft.type, draft.data, now) for n, draft in enumerate(drafts))
