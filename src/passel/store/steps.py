"""Steps: the writes of attempts, those of many sessions of one worker as one transaction.

What holds for each: it names its attempt and its own number, so no row back means that another attempt owns the
message (the write is dropped), or that this very write was committed before and the answer got lost (it holds). Event
numbers are given out under the session's row, so a ledger has no gaps and no reordering.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson

from passel.core import events
from passel.core.context import Step
from passel.core.endings import Done, Fail, Retry, Wait
from passel.core.events import Draft, Event, state_after
from passel.core.ids import MessageId
from passel.core.states import ENDED, RUNNING, phase
from passel.store import effects, waking
from passel.store.admission import Capacity
from passel.store.changes import Changes, settle
from passel.store.database import WriteConnection
from passel.store.leases import Lease, Place


@dataclass(frozen=True, slots=True)
class StepWrite:
    """`number` counts the writes of the attempt from 1, `known` is the last event that the attempt knows of, and
    `leaves_open` says that effects of it have no outcome after this write."""

    lease: Lease
    number: int
    known: int
    step: Step
    leaves_open: bool = False

    @property
    def state(self) -> str | None:
        """The message's state afterwards; None when the attempt goes on."""
        return None if self.step.ending is None else state_after(self.step.ending)

    @property
    def outcome(self) -> str | None:
        """The outcome that the write gives the item, if any."""
        if self.step.settles is not None:
            return state_after(self.step.settles)
        return self.state if self.state in ENDED else None


Written = dict[MessageId, tuple[Event, ...] | None]


async def apply(c: WriteConnection, writes: Sequence[StepWrite], now: datetime, capacity: Capacity) -> Written:
    """Make writes, at most one a message. Returns the events of those that hold; what is missing has lost its lease.

    Of a write that was made before the events are None: whoever needs their numbers reads the ledger.
    """
    changes = Changes(now)
    settled = await _advance(c, writes, now)
    fresh = [w for w in writes if w.lease.message_id in settled]
    await _record_effects(c, fresh, changes)
    doubts = await effects.doubt(c, [w.lease for w in fresh if w.leaves_open and w.state is not None], changes)
    for write in fresh:
        _move(write, settled[write.lease.message_id], changes)
    written = await _append(c, fresh, doubts, changes)
    await settle(c, changes, capacity)
    if len(fresh) < len(writes):
        missing = [w for w in writes if w.lease.message_id not in settled]
        written |= {row["id"]: None for row in await c.fetch("written_steps", *_fences(missing))}
    return written


async def _advance(c: WriteConnection, writes: Sequence[StepWrite], now: datetime) -> dict[MessageId, bool]:
    """The fence of each write. Returns the messages whose writes are new, and whether their items were settled before."""
    rows = await c.fetch("advance_messages", *_fences(writes), *_endings(writes), now)
    return {row["id"]: row["settled"] is not None for row in rows}


def _fences(writes: Sequence[StepWrite]) -> tuple[list[Any], list[Any], list[Any]]:
    return [w.lease.message_id for w in writes], [w.lease.attempt for w in writes], [w.number for w in writes]


def _endings(writes: Sequence[StepWrite]) -> tuple[list[Any], ...]:
    """Columns: state, outcome, result, error, reason, wake-up, progress."""
    told = [w.step.ending or w.step.settles for w in writes]
    return (
        [w.state for w in writes],
        [w.outcome for w in writes],
        [orjson.dumps(t.result) if isinstance(t, Done) else None for t in told],
        [t.error if isinstance(t, Fail) else None for t in told],
        [t.reason if isinstance(t, Wait | Retry) else None for t in told],
        [t.until if isinstance(t, Wait) else t.at if isinstance(t, Retry) else None for t in told],
        [bool(w.step.drafts or w.step.ended) for w in writes],
    )


async def _record_effects(c: WriteConnection, writes: Sequence[StepWrite], changes: Changes) -> None:
    begun = [(w.lease, effect) for w in writes for effect in w.step.began]
    if begun:
        await effects.start(c, begun)
    ended = [(w.lease, outcome) for w in writes for outcome in w.step.ended]
    if ended:
        await effects.end(c, ended, changes)


def _move(write: StepWrite, settled_before: bool, changes: Changes) -> None:
    place = Place(write.lease.place.lane_id, write.lease.place.batch_id, settled_before)
    if write.step.settles is not None and place.batch_id is not None and not settled_before:
        changes.count(place.batch_id, phase(RUNNING), state_after(write.step.settles))
        place = Place(place.lane_id, place.batch_id, True)
    if write.state is not None:
        changes.move(place, RUNNING, write.state)


async def _append(c: WriteConnection, writes: Sequence[StepWrite], doubts: Mapping[MessageId, list[Draft]], changes: Changes) -> Written:
    """Number the events, and turn sessions idle or to their next message where one has ended."""
    drafts = {w.lease.session_id: _drafts(w, doubts.get(w.lease.message_id, ())) for w in writes}
    telling = {w.lease.session_id: w for w in writes if drafts[w.lease.session_id]}
    written: Written = {w.lease.message_id: () for w in writes}
    if not telling:
        return written
    rows = await c.fetch(
        "append_to_sessions",
        list(telling),
        [len(drafts[session_id]) for session_id in telling],
        [w.lease.message_id for w in telling.values()],
        [w.state in ENDED for w in telling.values()],
    )
    for row in rows:
        write, told, last = telling[row["id"]], drafts[row["id"]], row["last_seq"]
        idle = write.state in ENDED and row["was_last"]
        written[write.lease.message_id] = tuple(
            changes.append(write.lease.org_id, write.lease.session_id, write.lease.message_id, last - idle, told)
        )
        if idle:
            changes.append(write.lease.org_id, write.lease.session_id, None, last, (events.session_state(events.IDLE, RUNNING),))
        elif write.state in ENDED:
            changes.next_in_line.append(write.lease.session_id)
        elif isinstance(write.step.ending, Wait) and last > write.known + len(told):
            # something was told to the session that this attempt does not know: perhaps what it is about to wait for
            await waking.wake(c, [(write.lease.message_id, events.state_after(write.step.ending))], changes)
    return written


def _drafts(write: StepWrite, doubts: Sequence[Draft]) -> Sequence[Draft]:
    if write.step.ending is None:
        return write.step.drafts
    return (*write.step.drafts, *doubts, events.message_ended(write.step.ending, write.lease.attempt))
