"""What an organisation has beside its browsers: webhooks of them, tags, analytics, signals, its bill. With the vendor's own client."""

import hashlib
import hmac
import threading
import time
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
from anchorbrowser import Anchorbrowser, BadRequestError, NotFoundError

from passel.workloads.browser.chromium import find
from tests.support.installation import KEY, Installation, installed, wait_until
from tests.support.receiver import Got, Receiver, Reply, receiver

pytestmark = pytest.mark.skipif(find() is None, reason="no Chromium: `make test` installs Debian's where it may")

HEADLESS: Any = {"headless": {"active": True}}
EVENTS: Any = ["session.completed", "session.failed", "batch.completed", "batch.cancelled"]


@pytest.fixture(scope="module")
def serving() -> Iterator[Installation]:
    with installed(1, {"PASSEL_ALLOW_PRIVATE_URLS": "1", "PASSEL_HIDE_FOREIGN": "1"}) as installation:
        yield installation


@pytest.fixture(scope="module")
def client(serving: Installation) -> Anchorbrowser:
    return Anchorbrowser(api_key=KEY, base_url=serving.url)


@pytest.fixture(scope="module")
def stranger(serving: Installation) -> Anchorbrowser:
    return Anchorbrowser(api_key=serving.new_organisation(), base_url=serving.url)


@pytest.fixture
def got() -> Iterator[Receiver]:
    with receiver() as one:
        yield one


def signed(secret: str, one: Got) -> bool:
    """As the contract's words say (2.9)."""
    at, *rest = one.headers["Anchor-Signature"].split(",")
    at = at.removeprefix("t=")
    made = hmac.new(secret.encode(), b"v0:" + at.encode() + b":" + one.raw, hashlib.sha256).hexdigest()
    assert at == one.headers["Anchor-Timestamp"] and abs(int(at) - time.time()) < 120
    return f"v1={made}" in rest


def test_sessions_and_batches_are_announced(client: Anchorbrowser, got: Receiver) -> None:
    hook: Any = client.webhooks.create_webhook(url=got.url, subscribed_events=EVENTS, description="ours")
    assert len(bytes.fromhex(hook.secret)) == 32 and hook.enabled and hook.id.startswith("wh_")
    batch = client.batch_sessions.create_batch_session(
        count=2, configuration={"session": {"tags": ["told"]}, "browser": HEADLESS}, metadata={"for": "webhooks"}
    ).data
    [ready] = got.wait_for(1)
    assert ready.body["type"] == "batch.completed" == ready.headers["Anchor-Event"] and signed(hook.secret, ready)
    assert ready.headers["User-Agent"] == "Anchor-Webhooks/1.0" and ready.body["id"].startswith("evt_")
    said = ready.body["data"]
    assert (said["batch_id"], said["completed_requests"], said["metadata"]) == (str(batch.batch_id), 2, {"for": "webhooks"})
    items = client.batch_sessions.get_batch_session(batch.batch_id).data.sessions
    client.sessions.delete_session(items[1].session_id)
    ended = got.wait_for(2)[1].body
    assert ended["type"] == "session.completed" and ended["data"]["session_id"] == str(items[1].session_id)
    assert (ended["data"]["item_index"], ended["data"]["end_reason"], ended["data"]["tags"]) == (1, "api", ["told"])

    changed: Any = client.webhooks.update_webhook(hook.id, enabled=False)
    assert changed.enabled is False and changed.description == "ours"
    client.sessions.delete_session(items[0].session_id)
    wait_until(lambda: client.sessions.get_session(items[0].session_id).data.status == "completed", 20)
    again: Any = client.webhooks.update_webhook(hook.id, enabled=True)
    assert again.enabled and len(got.got) == 2, "a webhook that is disabled hears nothing"
    events: Any = client.webhooks.list_webhook_events(hook.id)
    assert [(one.event_type, one.status, one.attempt, one.response_status) for one in events.events] == [
        ("session.completed", "succeeded", 1, 200),
        ("batch.completed", "succeeded", 1, 200),
    ]
    client.webhooks.delete_webhook(hook.id)
    with pytest.raises(NotFoundError):
        client.webhooks.get_webhook(hook.id)
    kept: Any = client.webhooks.list_webhook_events(hook.id, limit=1)
    assert len(kept.events) == 1 and kept.pagination.total == 2, "what was delivered can still be read"


def test_a_receiver_that_refuses_is_not_asked_again(client: Anchorbrowser, stranger: Anchorbrowser, got: Receiver) -> None:
    hook: Any = client.webhooks.create_webhook(url=got.url, subscribed_events=EVENTS)
    got.reply = lambda one: Reply(404)
    sent: Any = client.webhooks.send_webhook_test_event(hook.id, event_type="session.failed")
    [one] = got.wait_for(1)
    assert one.body["id"] == sent.external_event_id and one.body["data"] == {"test": True} and signed(hook.secret, one)

    def failed() -> list[Any]:
        return client.webhooks.list_webhook_events(hook.id, status="failed").events

    [event] = wait_until(failed, 20)
    assert (event.response_status, event.attempt, event.external_event_id) == (404, 1, sent.external_event_id)
    rotated: Any = client.webhooks.rotate_webhook_secret(hook.id)
    got.reply = lambda one: Reply(429 if len(got.got) == 2 else 200, headers={"Retry-After": "1"})
    client.webhooks.send_webhook_test_event(hook.id, event_type="session.failed")
    tried = got.wait_for(3, 30)[1:]
    assert len({one.headers["Anchor-Delivery-Id"] for one in tried}) == 1, "one that asks for patience is asked again"
    assert all(signed(rotated.secret, one) and signed(hook.secret, one) for one in tried)
    for ask in (stranger.webhooks.get_webhook, stranger.webhooks.list_webhook_events, stranger.webhooks.delete_webhook):
        with pytest.raises(NotFoundError):
            ask(hook.id)
    client.webhooks.delete_webhook(hook.id)


def test_webhooks_that_are_asked_for_wrongly(client: Anchorbrowser, got: Receiver) -> None:
    with pytest.raises(BadRequestError, match="never sends 'task"):
        client.webhooks.create_webhook(url=got.url, subscribed_events=["task.healed"])
    with pytest.raises(BadRequestError, match="url"):
        client.webhooks.create_webhook(url="ftp://example.com", subscribed_events=EVENTS)
    made: list[Any] = [client.webhooks.create_webhook(url=got.url, subscribed_events=EVENTS) for _ in range(5)]
    with pytest.raises(BadRequestError, match="at most 5"):
        client.webhooks.create_webhook(url=got.url, subscribed_events=EVENTS)
    assert len(client.webhooks.list_webhooks().webhooks) == 5
    for one in made:
        client.webhooks.delete_webhook(one.id)


def test_tags_and_analytics(client: Anchorbrowser, http: httpx2.Client, stranger: Anchorbrowser) -> None:
    begun = client.sessions.create_session(session={"tags": ["one"]}, browser=HEADLESS).data
    path = f"/v1/sessions/{begun.id}/tags"
    assert http.get(path).json() == {"data": {"session_id": begun.id, "tags": ["one"]}}
    assert http.put(path, json={"tags": ["two", "three"]}).json()["data"]["tags"] == ["two", "three"]
    for tags, count in (("one", 0), ("two", 1), ("two,three", 1), ("two,one", 0)):
        assert client.sessions.get_all_sessions_status(tags=tags).data.count == count
    assert client.sessions.get_session(begun.id).data.tags == ["two", "three"]
    assert http.put(path, json={"tags": "two"}).json()["error"]["message"].startswith("tags")
    client.sessions.delete_session(begun.id)
    wait_until(lambda: client.sessions.get_session(begun.id).data.status == "completed", 20)
    assert http.delete(path).json()["data"]["tags"] == [] and client.sessions.get_session(begun.id).data.tags == []
    row = client.sessions.list_sessions(sort_by="api_key_name", sort_order="desc").data.sessions[0]
    assert row.api_key_name, "which key made it"
    spans: Any = client.sessions.get_sessions_history(granularity="month")
    sessions = client.sessions.list_sessions().data.total
    assert spans.summary.total_sessions == sessions == sum(one.session_count for one in spans.data)
    assert spans.summary.total_session_hours > 0 and spans.pagination.total_records == len(spans.data)
    none: Any = stranger.sessions.get_sessions_history(metrics=["session_count"])
    assert none.data == [] and none.summary.total_sessions == 0
    with pytest.raises(BadRequestError, match="metrics"):
        client.sessions.get_sessions_history(metrics="speed")  # pyright: ignore[reportArgumentType]
    bill: Any = client.billing.get_billing()
    assert (bill.data.credits_used, bill.data.tier) == (0, "self_hosted")


def test_signals(client: Anchorbrowser, stranger: Anchorbrowser, http: httpx2.Client) -> None:
    signal, wait = client.events.signal_event, client.events.wait_for_event
    signal("code", data={"code": 1})
    signal("code", data={"code": 2})
    assert [wait("code").data, wait("code").data] == [{"code": 1}, {"code": 2}], "in their order, each once"
    assert http.post("/v1/events/code/wait", json={"timeoutMs": 50}).status_code == 408

    answers: list[Any] = []
    waiting = [
        threading.Thread(target=lambda: answers.append(http.post("/v1/events/later/wait", json={"timeoutMs": 1000}))) for _ in range(2)
    ]
    for one in waiting:
        one.start()
    stranger.events.signal_event("later", data={"of": "others"})
    signal("later", data={"at": "last"})
    for one in waiting:
        one.join()
    assert sorted(one.status_code for one in answers) == [200, 408], "of two who wait one gets it"
    assert next(one for one in answers if one.status_code == 200).json() == {"data": {"at": "last"}}
    assert http.post("/v1/events/code", json={"data": 7}).status_code == 400
