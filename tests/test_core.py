"""The pure rules: no process, no database."""

import asyncio
import contextlib
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
import uvloop
from hypothesis import given
from hypothesis import strategies as st

from passel.core import events as ev
from passel.core.batches import Counts, aggregate
from passel.core.content import clean, require_storable
from passel.core.costs import decimal_string
from passel.core.errors import Unprocessable
from passel.core.events import Draft, Event
from passel.core.ids import IdSource, MessageId, OrgId, SessionId
from passel.core.ledger import conversation, output_of, timeline
from passel.core.llm import LlmOption, lane_name
from passel.core.manifest import split_model
from passel.core.retry import Fault, ModelFailure, RetryPolicy
from passel.core.turn import CallModel, Finish, next_step
from passel.workloads.agent import failures
from passel.workloads.agent.limiter import AdaptiveLimit
from passel.workloads.agent.models import CallSettings, ModelDirectory
from passel.workloads.agent.network import is_private
from passel.workloads.agent.prices import price

NOW = datetime(2026, 11, 21, tzinfo=UTC)


def ledger(*drafts: Draft) -> list[Event]:
    return [Event(OrgId("o"), SessionId("s"), n, d.message_id, d.type, d.source, d.data, NOW) for n, d in enumerate(drafts, 1)]


def said(message: str, text: str) -> Draft:
    return ev.user_message(MessageId(message), [{"type": "text", "text": text}], None)


def answered(message: str, text: str) -> Draft:
    return ev.assistant_message(MessageId(message), text, "stop", {})


def status(message: str, state: str, error: str | None = None) -> Draft:
    return ev.message_status(MessageId(message), state, "running", 1, error)


def test_the_planner_asks_until_there_is_an_answer() -> None:
    one = MessageId("m1")
    asked = ledger(said("m1", "hi"))
    step = next_step(asked, one)
    assert isinstance(step, CallModel) and [s.role for s in step.conversation] == ["user"]
    assert next_step(ledger(said("m1", "hi"), answered("m1", "hello")), one) == Finish()


def test_a_model_is_told_the_turns_in_order_and_no_failed_ones() -> None:
    told = ledger(
        said("m1", "one"), said("m2", "two"), said("m3", "three"),
        answered("m1", "first"), status("m1", "completed"),
        answered("m2", "half"), status("m2", "failed", "broke"),
    )  # fmt: skip
    heard = [(s.role, s.content[0]["text"]) for s in conversation(told, MessageId("m3"))]
    assert heard == [("user", "one"), ("assistant", "first"), ("user", "three")]
    assert output_of(told, MessageId("m2")).error == "broke"


def test_the_transcript_has_one_placeholder_and_one_end_each() -> None:
    told = ledger(said("m1", "a"), said("m2", "b"), status("m1", "running"))
    items = [(i.type, i.message_id, i.status, i.seq) for i in timeline(told)]
    assert items == [
        ("user_message", "m1", None, 1), ("assistant_message", "m1", "running", 3),
        ("user_message", "m2", None, 2), ("assistant_message", "m2", "queued", None),
    ]  # fmt: skip
    failed = timeline(ledger(said("m1", "a"), answered("m1", "part"), status("m1", "failed", "why")))
    assert [(i.type, i.error) for i in failed] == [("user_message", None), ("assistant_message", None), ("assistant_message", "why")]


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


def test_retries_follow_the_kind_of_fault() -> None:
    policy = RetryPolicy(tries=3, patience=100, base=1, ceiling=8)
    overload = ModelFailure(Fault.OVERLOADED, "429", 429, retry_after=30)
    assert policy.delay(overload, 0, 50, 99, 0.5) == 30
    assert policy.delay(overload, 0, 1, 100, 0.5) is None
    accident = ModelFailure(Fault.UNKNOWN, "cut")
    assert policy.delay(accident, 1, 0, 0, 0.0) == 0.5
    assert policy.delay(accident, 2, 9, 0, 1.0) == 2
    assert policy.delay(accident, 3, 0, 0, 0.5) is None
    assert policy.delay(ModelFailure(Fault.REFUSED, "400"), 1, 0, 0, 0.5) is None


def test_statuses_mean_what_providers_mean_by_them() -> None:
    faults = {code: failures.of_status(code, "x", {}).fault for code in (400, 401, 404, 408, 422, 429, 500, 502, 503, 529)}
    assert faults == {
        400: Fault.REFUSED, 401: Fault.REFUSED, 404: Fault.REFUSED, 408: Fault.BROKEN, 422: Fault.REFUSED, 429: Fault.OVERLOADED,
        500: Fault.BROKEN, 502: Fault.BROKEN, 503: Fault.OVERLOADED, 529: Fault.OVERLOADED,
    }  # fmt: skip
    assert failures.of_status(429, {"error": {"code": "insufficient_quota"}}, {}).fault is Fault.REFUSED
    waits = [failures.retry_after({"Retry-After": value}) for value in ("3", "1.5", "-4", "99999", "soon", "Sat, 21 Nov 2020 00:00:00 GMT")]
    assert waits == [3, 1.5, None, 600, None, 0]
    assert failures.retry_after({"retry-after-ms": "250"}) == 0.25


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
    assert lane_name(option, None, {}) == "openai::KEY"
    own = lane_name(option, None, {"KEY": "sk-1"})
    assert own.startswith("openai::session:") and "sk-1" not in own and own != lane_name(option, "sk-2", {})
    assert lane_name(LlmOption("local", "smollm2"), None, {}) == "local:smollm2"


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
