"""Appending to ledgers. Numbers are given out under the session's row: no gaps, no reordering."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import orjson

from passel.core import events
from passel.core.events import Draft, Event
from passel.core.ids import MessageId, OrgId, SessionId
from passel.core.states import RUNNING
from passel.store.announcing import Watch
from passel.store.database import WriteConnection
from passel.store.leases import Lease


class Telling(NamedTuple):
    """What a session's ledger is told of one message, `ended` when it is the last of it, with its `result` if it went well."""

    org_id: OrgId
    session_id: SessionId
    message_id: MessageId
    drafts: Sequence[Draft]
    ended: bool = False
    result: Mapping[str, Any] | None = None

    @staticmethod
    def of(lease: Lease, drafts: Sequence[Draft], *, ended: bool = False, result: Mapping[str, Any] | None = None) -> "Telling":
        return Telling(lease.org_id, lease.session_id, lease.message_id, drafts, ended, result)


class Told(NamedTuple):
    """`events` are those of the message; an `idle` session was told that too, and has no message in line. `watches` are the
    webhooks that hear of it, `result` is what its message came to, `of_batch` whether it is an item."""

    events: tuple[Event, ...]
    last_seq: int
    idle: bool
    watches: tuple[Watch, ...] = ()
    result: Mapping[str, Any] | None = None
    of_batch: bool = False


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
    by_session, told = {t.session_id: t for t in tellings}, dict[SessionId, Told]()
    for row in rows:
        watch = Watch.of_row(row)
        watches = () if watch is None else (watch,)
        if (before := told.get(row["id"])) is not None:  # one row for each of its webhooks
            told[row["id"]] = before._replace(watches=before.watches + watches)
            continue
        telling = by_session[row["id"]]
        numbered = _numbered(telling, row["last"], now)
        told[row["id"]] = Told(numbered, row["last"], row["idle"], watches, telling.result, row["of_batch"])
    return told


def _numbered(telling: Telling, last: int, now: datetime) -> tuple[Event, ...]:
    org_id, session_id, message_id, drafts, *_ = telling
    first = last - len(drafts) + 1
    return tuple(Event(org_id, session_id, first + n, message_id, draft.type, draft.data, now) for n, draft in enumerate(drafts))
