"""The pure rules: no process, no database."""

import asyncio
import contextlib
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import uvloop
from hypothesis import given
from hypothesis import strategies as st

from passel.core import events as ev
from passel.core.agent import events as agent_ev
from passel.core.agent.events import ToolCall
from passel.core.agent.ledger import conversation, output_of, timeline
from passel.core.agent.manifest import split_model
from passel.core.agent.planner import AwaitResults, CallModel, Finish, GiveUp, Rules, RunTools, next_step
from passel.core.costs import decimal_string
from passel.core.endings import Done, Fail, Retry
from passel.core.errors import Invalid, Unprocessable
from passel.core.events import Draft, Event
from passel.core.faults import FaultPolicy, after_fault
from passel.core.ids import IdSource, MessageId, OrgId, SessionId
from passel.core.llm.events import call_failed
from passel.core.llm.options import LlmOption, lane_name
from passel.core.llm.retry import Again, Fault, NoMore, RetryPolicy, after_failures
from passel.core.states import Counts, aggregate
from passel.core.text import clean, require_storable
from passel.models import failures
from passel.models.directory import CallSettings, ModelDirectory
from passel.models.limiter import AdaptiveLimit, Closed
from passel.models.prices import price
from passel.network import is_private, retry_after
from passel.services.vault import Vault

NOW = datetime(2026, 11, 21, tzinfo=UTC)


Told = tuple[str | None, Draft]


def ledger(*told: Told, every: float = 0) -> list[Event]:
    """A ledger of drafts of messages, `every` so many seconds."""
    return [
        Event(OrgId("o"), SessionId("s"), n, m and MessageId(m), d.type, d.data, NOW + timedelta(seconds=every * n))
        for n, (m, d) in enumerate(told, 1)
    ]


def said(message: str, text: str) -> Told:
    return message, ev.message_requested(agent_ev.request([{"type": "text", "text": text}], None))


def answered(message: str, text: str, *tools: str) -> Told:
    calls = [ToolCall(f"eff.{tool}", tool, "look", "{}") for tool in tools]
    return message, agent_ev.assistant_message(text, calls, "stop", {})


def ended(message: str, error: str | None = None) -> Told:
    return message, ev.message_ended(Fail(error) if error else Done(), 1)


def failed(message: str, fault: Fault, said: str = "no", retry_after: float | None = None) -> Told:
    return message, call_failed({"id": f"eff_{fault}"}, fault, said, retry_after)


ONE = MessageId("m1")
CALL = ToolCall("eff.a", "a", "look", "{}")


def test_the_planner_asks_until_there_is_an_answer() -> None:
    step = next_step(ledger(said("m1", "hi")), ONE, Rules())
    assert isinstance(step, CallModel) and [s.role for s in step.conversation] == ["user"] and step.number == 1
    assert next_step(ledger(said("m1", "hi"), answered("m1", "hello")), ONE, Rules()) == Finish("hello")


def test_the_planner_runs_tools_and_asks_again() -> None:
    told = [said("m1", "hi"), answered("m1", "let me see", "a", "b")]
    step = next_step(ledger(*told), ONE, Rules())
    assert isinstance(step, RunTools) and [call.id for call in step.calls] == ["eff.a", "eff.b"] and not step.interrupted
    told.append(("m1", agent_ev.tool_requested(CALL, {}, "sandbox")))
    step = next_step(ledger(*told), ONE, Rules())
    assert isinstance(step, RunTools) and step.interrupted == (CALL,)  # it began, and nobody knows what came of it
    told.append(("m1", agent_ev.tool_completed(CALL.id, CALL.name, {"n": 1})))
    told.append(("m1", agent_ev.tool_requested(ToolCall("eff.b", "b", "look", "{}"), {}, "external", NOW)))
    step = next_step(ledger(*told), ONE, Rules())
    assert isinstance(step, AwaitResults) and [(call.id, until) for call, until in step.calls] == [("eff.b", NOW)]
    told.append(("m1", agent_ev.tool_failed("eff.b", "look", "too late", agent_ev.TIMED_OUT)))
    step = next_step(ledger(*told), ONE, Rules())
    assert isinstance(step, CallModel) and step.number == 2
    heard = [(s.role, s.call_id, s.content[0]["text"] if s.content else "") for s in step.conversation]
    assert heard == [("user", None, "hi"), ("assistant", None, "let me see"), ("tool", "a", '{"n": 1}'), ("tool", "b", "Error: too late")]
    told.append(answered("m1", "done"))
    assert next_step(ledger(*told), ONE, Rules()) == Finish("let me see\n\ndone")
    assert isinstance(next_step(ledger(*told[:-1]), ONE, Rules(max_calls=1)), GiveUp)


def test_patience_is_folded_from_the_ledger() -> None:
    """Whoever plans, and however often: tries and patience start with the first failure, not with the worker."""
    rules = Rules(RetryPolicy(tries=3, patience=100, base=1, ceiling=8))
    told = [said("m1", "hi"), failed("m1", Fault.UNKNOWN, "cut"), failed("m1", Fault.BROKEN, "500")]
    step = next_step(ledger(*told), ONE, rules)
    assert isinstance(step, CallModel) and step.number == 3 and step.reason == "500"
    assert step == next_step(ledger(*told), ONE, rules)  # jitter too
    assert step.not_before and 1 <= (step.not_before - NOW).total_seconds() <= 2
    assert next_step(ledger(*told, failed("m1", Fault.BROKEN, "500")), ONE, rules) == GiveUp("500")
    busy = [said("m1", "hi"), *[failed("m1", Fault.OVERLOADED, "429", 30)] * 4]
    step = next_step(ledger(*busy, every=30), ONE, rules)
    assert isinstance(step, CallModel) and step.not_before == NOW + timedelta(seconds=150 + 30)
    assert next_step(ledger(*busy, failed("m1", Fault.OVERLOADED, "429", 30), every=30), ONE, rules) == GiveUp("429")
    assert next_step(ledger(said("m1", "hi"), failed("m1", Fault.REFUSED, "400")), ONE, rules) == GiveUp("400")


def test_faults_are_borne_for_a_while_and_progress_starts_anew() -> None:
    policy = FaultPolicy(patience=100, base=1, ceiling=8)
    began, put_off = ("m1", ev.message_began()), ("m1", ev.message_ended(Retry(NOW, "disk", fault=True), 1))
    told = [said("m1", "hi"), began, put_off, began]
    again = after_fault(ledger(*told, every=10), ONE, "disk", NOW + timedelta(seconds=41), policy)
    assert again == Retry(NOW + timedelta(seconds=43), "disk", fault=True)
    over = after_fault(ledger(*told, every=10), ONE, "disk", NOW + timedelta(seconds=131), policy)
    assert isinstance(over, Fail) and "disk" in over.error and "2 tries" in over.error
    anew = after_fault(ledger(*told, answered("m1", "part"), every=10), ONE, "disk", NOW + timedelta(seconds=131), policy)
    assert anew == Retry(NOW + timedelta(seconds=132), "disk", fault=True)


def test_a_model_is_told_the_turns_in_order_and_no_failed_ones() -> None:
    told = ledger(
        said("m1", "one"), said("m2", "two"), said("m3", "three"),
        answered("m1", "first"), ended("m1"),
        answered("m2", "half"), ended("m2", "broke"),
    )  # fmt: skip
    heard = [(s.role, s.content[0]["text"]) for s in conversation(told, MessageId("m3"))]
    assert heard == [("user", "one"), ("assistant", "first"), ("user", "three")]
    assert output_of(told, MessageId("m2")).error == "broke"


def test_the_transcript_has_one_placeholder_and_one_end_each() -> None:
    told = ledger(said("m1", "a"), said("m2", "b"), ("m1", ev.message_began()))
    items = [(i.type, i.message_id, i.state, i.seq) for i in timeline(told)]
    assert items == [
        ("user_message", "m1", None, 1), ("assistant_message", "m1", "running", 3),
        ("user_message", "m2", None, 2), ("assistant_message", "m2", "held", None),
    ]  # fmt: skip
    broken = timeline(ledger(said("m1", "a"), answered("m1", "part"), ended("m1", "why")))
    assert [(i.type, i.error) for i in broken] == [("user_message", None), ("assistant_message", None), ("assistant_message", "why")]


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ((3, 0, 0, 0), "queued"), ((2, 1, 0, 0), "running"), ((1, 0, 2, 0), "running"), ((0, 0, 3, 0), "completed"),
        ((0, 0, 0, 3), "failed"), ((0, 0, 17, 1), "partial_failed"), ((1, 0, 0, 2), "running"),
    ],
)  # fmt: skip
def test_a_batchs_status_follows_from_its_items(counts: tuple[int, int, int, int], expected: str) -> None:
    assert aggregate(Counts(*counts)) == expected


def test_ids_never_go_backwards_even_when_the_clock_does() -> None:
    times = iter([5, 5, 5, 9, 3, 3, 10] * 400)
    ids = IdSource(lambda: next(times))
    made = [ids.session() for _ in range(2500)]
    assert made == sorted(made) and len(set(made)) == len(made)
    assert all(len(i) == len("sess_") + 26 and i == i.lower() for i in made)


@given(st.text())
def test_cleaned_text_is_storable_and_the_rest_untouched(text: str) -> None:
    assert require_storable(clean(text), "x") == clean(text)
    clean(text).encode("utf-8")
    if "\x00" not in text and not any("\ud800" <= c <= "\udfff" for c in text):
        assert clean(text) == text
    else:
        with pytest.raises(Unprocessable, match="field"):
            require_storable(text, "field")


def test_failures_of_calls_that_never_left_are_not_repeated() -> None:
    told = ledger(said("m1", "hi"), failed("m1", Fault.UNSENT, "no key"))
    assert after_failures(told, RetryPolicy()) == NoMore("no key")
    assert after_failures(told[:1], RetryPolicy()) is None
    assert isinstance(after_failures(ledger(failed("m1", Fault.BROKEN)), RetryPolicy()), Again)


def test_statuses_mean_what_providers_mean_by_them() -> None:
    faults = {code: failures.of_status(code, "x", {}).fault for code in (400, 401, 404, 408, 422, 429, 500, 502, 503, 529)}
    assert faults == {
        400: Fault.REFUSED, 401: Fault.REFUSED, 404: Fault.REFUSED, 408: Fault.BROKEN, 422: Fault.REFUSED, 429: Fault.OVERLOADED,
        500: Fault.BROKEN, 502: Fault.BROKEN, 503: Fault.OVERLOADED, 529: Fault.OVERLOADED,
    }  # fmt: skip
    assert failures.of_status(429, {"error": {"code": "insufficient_quota"}}, {}).fault is Fault.REFUSED
    waits = [retry_after({"Retry-After": value}, 600) for value in ("3", "1.5", "-4", "99999", "soon", "Sat, 21 Nov 2020 00:00:00 GMT")]
    assert waits == [3, 1.5, None, 600, None, 0]
    assert retry_after({"retry-after-ms": "250"}, 600) == 0.25
    for beyond in ("Thu, 01 Jan 2026 00:00:00 +99999999999999", "Thu, 01 Jan 99999999999999999999 00:00:00 GMT"):
        assert retry_after({"Retry-After": beyond}, 600) is None


def test_the_limit_falls_with_overloads_and_recovers() -> None:
    async def scenario() -> None:
        limit = AdaptiveLimit(100)
        async with contextlib.AsyncExitStack() as stack:
            for _ in range(20):
                await stack.enter_async_context(limit.slot())
            limit.overloaded(0)
            assert limit.limit == 14
            limit.overloaded(0)
            assert limit.limit == 14  # one burst is one message
        before = limit.limit
        for _ in range(200):
            async with limit.slot():
                limit.answered()
        assert before < limit.limit <= 100

    asyncio.run(scenario())


def test_a_long_pause_sends_everybody_away() -> None:
    async def scenario() -> None:
        limit = AdaptiveLimit(1)
        away = []

        async def call() -> None:
            try:
                async with limit.slot():
                    await asyncio.sleep(0)
                    limit.overloaded(30)
            except Closed as closed:
                away.append(closed.seconds)

        await asyncio.gather(*(call() for _ in range(5)))
        assert len(away) == 4 and all(29 < seconds <= 30 for seconds in away) and limit.running == 0

    asyncio.run(scenario())


def test_waiting_for_a_place_can_be_cancelled() -> None:
    async def scenario() -> None:
        limit = AdaptiveLimit(1)

        async def hold(until: asyncio.Event) -> None:
            async with limit.slot():
                await until.wait()

        done = asyncio.Event()
        first = asyncio.create_task(hold(done))
        await asyncio.sleep(0)
        waiting = [asyncio.create_task(hold(done)) for _ in range(3)]
        await asyncio.sleep(0)
        waiting[0].cancel()
        done.set()
        await asyncio.gather(first, *waiting, return_exceptions=True)
        assert limit.running == 0 and limit.idle

    asyncio.run(scenario())


def test_prices_are_known_free_or_unknown_and_never_guessed() -> None:
    def of(provider: str, model: str, **fields: Any) -> Decimal | None:
        return price(LlmOption(provider, model, **fields), 1_000_000, 0, 0, 0, NOW)

    assert of("local", "anything") == 0
    assert of("openai", "no-such-model") is None
    assert of("openai", "gpt-5.5", base_url="http://127.0.0.1/v1") is None
    known = of("anthropic", "claude-haiku-4-5")
    assert known is not None and known > 0
    assert (
        decimal_string(Decimal("0.01230")) == "0.0123"
        and decimal_string(Decimal("1E-7")) == "0.0000001"
        and decimal_string(Decimal(0)) == "0"
    )


def test_model_names_in_every_form() -> None:
    assert split_model("anthropic/claude-haiku-4-5", None) == ("anthropic", "claude-haiku-4-5")
    assert split_model("openai:gpt-5.5", None) == ("openai", "gpt-5.5")
    assert split_model("local:smollm2", None) == ("local", "smollm2")
    assert split_model("meta/llama-4", None) == ("openrouter", "meta/llama-4")
    assert split_model("anthropic/claude-haiku-4-5", "openrouter") == ("openrouter", "anthropic/claude-haiku-4-5")


def test_lanes_follow_the_key_that_pays() -> None:
    option = LlmOption("openai", "gpt-5.5", api_key_secret="KEY")
    assert lane_name(option, None, {}) == "model/openai::KEY"
    own = lane_name(option, None, {"KEY": "sk-1"})
    assert own.startswith("model/openai::session:") and "sk-1" not in own and own != lane_name(option, "sk-2", {})
    assert lane_name(LlmOption("local", "smollm2"), None, {}) == "local/smollm2"


def test_private_addresses() -> None:
    private = ["127.0.0.1", "10.1.2.3", "192.168.0.1", "169.254.169.254", "::1", "fd00::1", "0.0.0.0", "100.64.0.1", "224.0.0.1"]
    assert all(is_private(address) for address in private)
    assert not any(is_private(address) for address in ("8.8.8.8", "2606:4700::1111", "example.com"))


def test_a_pause_ends_on_the_loop_that_workers_use() -> None:
    """uvloop rounds timers to milliseconds: one that fires early must not leave anybody waiting."""

    async def scenario() -> None:
        limit = AdaptiveLimit(3)
        entered = 0

        async def call() -> None:
            nonlocal entered
            async with limit.slot():
                entered += 1
                if entered % 7 == 0:
                    limit.overloaded(0.003)
                await asyncio.sleep(0)

        async with asyncio.timeout(30):
            await asyncio.gather(*(call() for _ in range(400)))
        assert entered == 400 and limit.running == 0

    uvloop.run(scenario())


def test_limits_of_many_keys_are_forgotten_when_idle() -> None:
    async def no_local_model(model: str) -> str:
        raise AssertionError(model)

    models = ModelDirectory(CallSettings(), no_local_model)
    option = LlmOption("openai", "x", "http://127.0.0.1:1/v1")
    limits = [models.limit("org", option, f"key-{n}") for n in range(2500)]
    assert len(set(map(id, limits))) == 2500 and models.limit("org", option, "key-2499") is limits[-1]
    assert len(models._limits) <= 1000


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ('{"error": {"message": "no such model", "type": "invalid", "code": "invalid", "param": null}}', "HTTP 400: no such model (invalid)"),
        ({"message": "as the SDK hands it on", "type": None}, "HTTP 400: as the SDK hands it on"),
        ({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}, "request_id": "r"}, "HTTP 400: Overloaded (overloaded_error)"),
        ('{"error": {"message": "Provider returned error", "metadata": {"raw": "why"}}}', '"raw": "why"'),
        ('{"error": {"message": ""}}', '{"error": {"message": ""}}'),
        ('{"detail": "not that form"}', '{"detail": "not that form"}'),
        ("[" * 100_000, "HTTP 400: [[["),
        ("<html>", "HTTP 400: <html>"),
    ],
)  # fmt: skip
def test_an_upstream_error_is_told_in_its_words(body: Any, said: str) -> None:
    assert said in failures.of_status(400, body, None).message


def test_a_vault_takes_no_key_that_is_none(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        vaults = list(pool.map(Vault.of_directory, [tmp_path] * 32))
    sealed = vaults[0].seal({"a": 1}, "owner")
    assert all(vault.open(sealed, "owner") == {"a": 1} for vault in vaults)
    assert (tmp_path / "secret.key").stat().st_mode & 0o077 == 0 and [f.name for f in tmp_path.iterdir()] == ["secret.key"]
    for broken in ("", "ab", "zz" * 32):
        (tmp_path / "secret.key").write_text(broken)
        with pytest.raises(Invalid, match=r"secret\.key"):
            Vault.of_directory(tmp_path)
