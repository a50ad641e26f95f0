"""Steps: the writes of attempts, those of many sessions of one worker as one transaction.

What holds for each: it names its attempt and its own number, so no row back means that another attempt owns the
message (the write is dropped), or that this very write was committed before and the answer got lost (it holds). Event
numbers are given out under the session's row, so a ledger has no gaps and no reordering.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import orjson

from passel.core.context import Spawn, Step
from passel.core.endings import Done, Ending, Fail, Retry, Wait
from passel.core.events import Draft, Event, message_ended, state_after
from passel.core.ids import MessageId
from passel.core.states import ENDED, RUNNING, phase
from passel.store import effects, ledgers, spawning, waking
from passel.store.admission import Capacity
from passel.store.announcing import Announcing
from passel.store.changes import Changes, settle
from passel.store.database import WriteConnection
from passel.store.leases import Lease
from passel.store.ledgers import Telling, Told
from passel.store.spawning import Lanes


class StepWrite(NamedTuple):
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


def spawns(writes: Sequence[StepWrite]) -> list[tuple[Lease, Spawn]]:
    """The sessions that these writes begin."""
    return [(w.lease, spawn) for w in writes for spawn in w.step.spawns]


async def apply(
    c: WriteConnection, writes: Sequence[StepWrite], now: datetime, capacity: Capacity, announcing: Announcing, lanes: Lanes | None = None
) -> Written:
    """Make writes, at most one a message. Returns the events of those that hold; what is missing has lost its lease. `lanes` has
    those of the sessions that they begin (`passel.store.spawning`).

    Of a write that was made before the events are None: whoever needs their numbers reads the ledger.
    """
    changes = Changes(now, announcing)
    settled = await _advance(c, writes, now)
    fresh = [w for w in writes if w.lease.message_id in settled]
    ended = [(w.lease, outcome) for w in fresh for outcome in w.step.ended]
    if ended:
        await effects.end(c, ended, changes)
    doubts = await effects.doubt(c, [w.lease for w in fresh if w.leaves_open and w.state is not None], changes)
    for write in fresh:
        _move(write, settled[write.lease.message_id], changes)
    written = await _append(c, fresh, doubts, changes)
    if begun := spawns(fresh):
        await spawning.insert(c, begun, lanes or {}, announcing.ids, changes)
    await settle(c, changes, capacity)
    if len(fresh) < len(writes):
        missing = [w for w in writes if w.lease.message_id not in settled]
        written |= {row["id"]: None for row in await c.fetch("written_steps", *_fences(missing))}
    return written


async def _advance(c: WriteConnection, writes: Sequence[StepWrite], now: datetime) -> dict[MessageId, bool]:
    """The fence of each write, and the effects that it begins. Returns the messages whose writes are new, and whether
    their items were settled before."""
    begun = [(w.lease.message_id, effect) for w in writes for effect in w.step.began]
    rows = await c.fetch("advance_messages", *_fences(writes), *_endings(writes), now, *effects.columns_begun(begun))
    return {row["id"]: row["settled"] is not None for row in rows}


def _fences(writes: Sequence[StepWrite]) -> tuple[list[Any], list[Any], list[Any]]:
    return [w.lease.message_id for w in writes], [w.lease.attempt for w in writes], [w.number for w in writes]


def _endings(writes: Sequence[StepWrite]) -> tuple[list[Any], ...]:
    """Columns: state, outcome, result, error, reason, wake-up, progress, whether what follows only goes on."""
    told = [w.step.ending or w.step.settles for w in writes]
    return (
        [w.state for w in writes],
        [w.outcome for w in writes],
        [orjson.dumps(t.result) if isinstance(t, Done) else None for t in told],
        [t.error if isinstance(t, Fail) else None for t in told],
        [t.reason if isinstance(t, Wait | Retry) else None for t in told],
        [t.until if isinstance(t, Wait) else t.at if isinstance(t, Retry) else None for t in told],
        [bool(w.step.drafts or w.step.ended) for w in writes],
        [isinstance(t, Wait) or (isinstance(t, Retry) and not t.fault) for t in told],
    )


def _move(write: StepWrite, settled_before: bool, changes: Changes) -> None:
    place = write.lease.place._replace(settled=settled_before)
    told = write.step.settles or write.step.ending
    if isinstance(told, Done) and told.counts_as is not None and not settled_before:
        changes.used[write.lease.org_id, told.counts_as] += 1
    if isinstance(told, Done) and told.charge and not settled_before and place.batch_id is not None:
        changes.batches[place.batch_id].charged += told.charge
    if write.step.settles is not None and not settled_before:
        changes.count(place, phase(RUNNING), state_after(write.step.settles), _error(write.step.settles))
        place = place._replace(settled=True)
    if write.state is not None:
        changes.move(place, RUNNING, write.state, _error(write.step.ending))


def _error(ending: Ending | None) -> str | None:
    return ending.error if isinstance(ending, Fail) else None


async def _append(c: WriteConnection, writes: Sequence[StepWrite], doubts: Mapping[MessageId, list[Draft]], changes: Changes) -> Written:
    """Tell the ledgers, and turn sessions idle or to their next message where one has ended."""
    tellings = [
        Telling.of(w.lease, _drafts(w, doubts.get(w.lease.message_id, ())), ended=w.state in ENDED, result=_result(w)) for w in writes
    ]
    told = await ledgers.append(c, [telling for telling in tellings if telling.drafts], changes.now)
    changes.announce(told.values())
    written: Written = {}
    for write in writes:
        events, last, idle, *_ = told.get(write.lease.session_id, _NOTHING)
        written[write.lease.message_id] = events
        if write.state in ENDED:
            if not idle:
                changes.next_in_line.append(write.lease.session_id)
        elif isinstance(write.step.ending, Wait) and last > write.known + len(events):
            # something was told to the session that this attempt does not know: perhaps what it is about to wait for
            await waking.wake(c, [(write.lease.message_id, state_after(write.step.ending))], changes)
    return written


_NOTHING = Told((), 0, False)


def _result(write: StepWrite) -> dict[str, Any] | None:
    return write.step.ending.result if isinstance(write.step.ending, Done) else None


def _drafts(write: StepWrite, doubts: Sequence[Draft]) -> Sequence[Draft]:
    if write.step.ending is None:
        return write.step.drafts
    return (*write.step.drafts, *doubts, message_ended(write.step.ending, write.lease.number))
