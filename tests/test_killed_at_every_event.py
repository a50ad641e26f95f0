"""A scripted run is killed at each event of its ledger in turn, and ends the same.

Triggers in the test's own database stop the transaction that tells the event, where it has been written or while it
commits, until whoever does so (a worker, or the API) is dead. What is not committed then is lost, and what is committed is
known to nobody: there is no third moment.
"""

import asyncio
import json
import sys
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import asyncpg
import httpx2
import pytest

from tests.support.installation import Installation, PlayedModel, Program, played_model, scratch_dir, wait_until
from tests.support.worlds import INVARIANTS
from tests.test_chaos import rows
from tests.test_tools import FREE, LOOK_UP, SHORT, call

SCRIPT = [{"text": "let me look", "calls": [call("owl"), call("cat", "free")]}, {"calls": [{"name": "short"}]}, "so: {results}"]
SAID = 'so: ["{\\"meaning\\": \\"a bird\\"}","Error: \\"no cats\\"","Error: nobody answered this call in time"]'
ANSWERS: dict[str, Any] = {"look_up": {"result": {"meaning": "a bird"}}, "free": {"result": "no cats", "is_error": True}}

WRITTEN, COMMITTING = "written", "committing"
LOCK = 4711

TRIGGERS = f"""
create table hold (seq int not null, moment text not null);
create function hold_event() returns trigger language plpgsql as $$
begin
    if exists (select from hold where seq = new.seq and moment = tg_argv[0]) then
        perform pg_advisory_xact_lock_shared({LOCK});
    end if;
    return null;
end $$;
create trigger hold_written after insert on event for each row execute function hold_event('{WRITTEN}');
create constraint trigger hold_committing after insert on event deferrable initially deferred
    for each row execute function hold_event('{COMMITTING}');
"""

HELD = f"""
select a.application_name
from pg_locks l join pg_stat_activity a using (pid)
where l.locktype = 'advisory' and l.classid = 0 and l.objid = {LOCK} and not l.granted
"""


class Holds:
    """Stops the transaction that tells a session its event of some number. There is one session at work at a time."""

    def __init__(self, url: str) -> None:
        self._runner = asyncio.Runner()
        self._connection = self._runner.run(asyncpg.connect(url))
        self._execute(TRIGGERS)

    def _execute(self, sql: str) -> None:
        self._runner.run(self._connection.execute(sql))

    @contextmanager
    def at(self, seq: int, moment: str) -> Iterator[None]:
        """Whoever comes there in this block is held until its end."""
        self._execute(f"select pg_advisory_lock({LOCK}); insert into hold values ({seq}, '{moment}')")
        try:
            yield
        finally:
            self._execute(f"delete from hold; select pg_advisory_unlock({LOCK})")

    def holder(self) -> str | None:
        """Who is held: `passel api` or `passel worker`."""
        return self._runner.run(self._connection.fetchval(HELD))

    def close(self) -> None:
        self._runner.run(self._connection.close())
        self._runner.close()


def ask(send: Callable[[], httpx2.Response]) -> Any:
    """Until a server answers."""

    def answered() -> Any:
        with suppress(httpx2.HTTPError):
            response = send()
            assert response.status_code < 300 or response.status_code >= 500, response.text
            return response.json() if response.status_code < 300 else None
        return None

    return wait_until(answered, 300)


@dataclass
class Site:
    """An installation with one worker for agents, and one beside it that only watches who is alive."""

    passel: Installation
    model: PlayedModel
    agent: str
    holds: Holds

    def converse(self) -> list[Any]:
        """One turn as its client sees it, which answers what it is asked for and repeats what got no answer. Returns the
        session's events."""
        http, key = self.passel.http(), uuid.uuid4().hex
        body = {"type": "user.message", "content": [{"type": "text", "text": json.dumps(SCRIPT)}]}
        sent = ask(lambda: http.post(f"/v1/agents/{self.agent}/messages", json=body, headers={"Idempotency-Key": key}))
        path = f"/v1/sessions/{sent['session']['id']}/events"

        def ended() -> Any:
            events = ask(lambda: http.get(path))["events"]
            for answer in open_calls(events):
                ask(lambda answer=answer: http.post(path, json=answer))
            return events if events[-1]["type"] == "session.status_changed" and events[-1]["data"]["status"] == "idle" else None

        return wait_until(ended, 300)

    def killed_at(self, seq: int, moment: str) -> list[Any]:
        """The same, and whoever tells event `seq` dies with it."""
        with ThreadPoolExecutor(1) as client:
            with self.holds.at(seq, moment):
                conversing = client.submit(self.converse)
                holder = wait_until(self.holds.holder)
                [victim] = self.passel.children(holder.removeprefix("passel "))
                victim.kill()
                victim.wait(30)
            # it has been silent for long, by the clock of the database
            rows(self.passel, "update worker set seen_at = seen_at - interval '1 hour' where name like '%:' || $1", str(victim.pid))
            return conversing.result()

    def asked(self) -> int:
        return sum(self.model.calls().values())


def open_calls(events: list[Any]) -> list[Any]:
    """The answers that are due, in the order of their calls."""
    settled = {e["data"]["tool_call_id"] for e in events if e["type"] in ("tool.call_completed", "tool.call_failed")}
    asked = [e["data"] for e in events if e["type"] == "tool.call_requested" and e["data"]["tool_call_id"] not in settled]
    return [
        {"type": "tool.result_submitted", "message_id": told["message_id"], "tool_call_id": told["tool_call_id"]}
        | ANSWERS[told["tool_name"]]
        for told in asked
        if told["tool_name"] in ANSWERS
    ]


def without_kills(events: list[Any]) -> list[Any]:
    """What a ledger says, but for ids, times and what may be told of a kill: that a model's call is in doubt, and that an
    attempt began in place of one that did not end."""
    told: list[Any] = []
    calls: dict[str, int] = {}
    running = False
    for event in events:
        data = {k: v for k, v in event["data"].items() if k not in ("message_id", "attempt", "call", "deadline")}
        if event["type"] == "model.call_in_doubt":
            continue
        if event["type"] == "message.status_changed":
            if running and data["status"] == "running":
                continue
            running = data["status"] == "running"
            data["waiting"] = "waiting" in data and data["waiting"]["reason"]
        if "tool_call_id" in data:
            data["tool_call_id"] = calls.setdefault(data["tool_call_id"], len(calls))
        told.append((event["type"], event["source"], data))
    return told


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with scratch_dir() as directory, played_model() as model:
        passel = Installation(directory, 1, {"PASSEL_QUARANTINE": "1"}).start()
        command = [sys.executable, "-m", "passel", "worker", "--kinds", "webhook"]
        watcher = Program(command, passel.environment(), stderr_path=directory / "watcher.err")
        watcher.start("ready")
        holds = Holds(passel.database_url())
        try:
            yield Site(passel, model, passel.deploy(model.url, ["script"], tools=[LOOK_UP, SHORT, FREE]), holds)
        finally:
            holds.close()
            watcher.stop()
            assert passel.stop() == 0
        assert "Traceback" not in passel.program.errors() + watcher.errors()


def check_kills(site: Site, moments: Callable[[list[int]], list[tuple[int, str]]]) -> None:
    """Kill a run at each of the moments that are made of the numbers of the last event of each transaction."""
    undisturbed = site.converse()
    assert undisturbed[-3]["data"]["content"] == [{"type": "text", "text": SAID}]
    session_id = undisturbed[0]["session_id"]
    ends = rows(site.passel, "select max(seq) as seq from event where session_id = $1 group by xmin order by 1", session_id)
    assert ends[-1]["seq"] == len(undisturbed) and len(ends) == 12
    for seq, moment in moments([row["seq"] for row in ends]):
        before = site.asked()
        events = site.killed_at(seq, moment)
        assert [e["sequence_number"] for e in events] == list(range(1, len(events) + 1))
        assert without_kills(events) == without_kills(undisturbed), (seq, moment, events)
        doubts = [e for e in events if e["type"] == "model.call_in_doubt"]
        assert site.asked() - before == 3 + len(doubts), (seq, moment, events)
        assert len(doubts) <= 1 and len(events) - len(undisturbed) - len(doubts) <= 1, (seq, moment, events)
    assert rows(site.passel, INVARIANTS) == []


def test_a_run_that_is_killed_after_any_event_ends_the_same(site: Site) -> None:
    """After each transaction: of the events that one tells together, none is there before the last."""
    check_kills(site, lambda ends: [(seq, COMMITTING) for seq in ends])


@pytest.mark.slow
@pytest.mark.parametrize("moment", [WRITTEN, COMMITTING])
def test_a_run_that_is_killed_at_any_event_ends_the_same(site: Site, moment: str) -> None:
    """At each event by itself, before it is there and when it is."""
    check_kills(site, lambda ends: [(seq, moment) for seq in range(1, ends[-1] + 1)])
