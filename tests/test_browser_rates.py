"""How many browser sessions an organisation may make in a minute, where that is limited. No browser runs here."""

import asyncio
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pytest

from passel.core.ids import OrgId
from passel.store import browsers
from passel.store.database import Database
from tests.support.installation import KEY, Installation, installed

AT = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def serving() -> Iterator[Installation]:
    with installed(0, {"PASSEL_BROWSER_RATE": "3", "PASSEL_BROWSER_RATE_BATCHES": "1"}) as installation:
        yield installation


def standing(answer: httpx2.Response) -> tuple[int, int]:
    """What is left, and for how many seconds."""
    found = re.fullmatch(r'"3-in-1min"; r=(\d+); t=(\d+)', answer.headers["RateLimit"])
    assert found, answer.headers
    policy = answer.headers["RateLimit-Policy"]
    assert re.fullmatch(r'"3-in-1min"; q=3; w=60; pk=:[A-Za-z0-9+/=]+:', policy), policy
    return int(found[1]), int(found[2])


def test_more_than_a_minute_allows_is_refused(serving: Installation, http: httpx2.Client) -> None:
    """However they are made; another organisation is counted by itself."""
    wrong = http.post("/v1/sessions/async", json={"session": 7})
    assert wrong.status_code == 400 and "RateLimit" not in wrong.headers, "what makes no session does not count"
    first, second = (http.post("/v1/sessions/async", json={}) for _ in range(2))
    assert [one.status_code for one in (first, second)] == [200, 200]
    assert [standing(one)[0] for one in (first, second)] == [2, 1] and 0 < standing(second)[1] <= 60
    batch = http.post("/v1/batch-sessions", json={"count": 2})
    assert batch.status_code == 429 and "this batch has 2" in batch.json()["error"]["message"] and standing(batch)[0] == 1
    assert http.post("/v1/batch-sessions", json={"count": 4}).status_code == 429
    assert standing(http.post("/v1/batch-sessions", json={"count": 1}))[0] == 0
    for ask in (
        lambda: http.post("/v1/sessions/async", json={}),
        lambda: http.post("/v1/sessions", json={}),
        lambda: http.post("/v1/tools/fetch/webpage", json={"url": "https://example.com"}),
        lambda: http.post("/v1/tools/page-pdf", json={"url": "https://example.com"}),
    ):
        refused = ask()
        left, seconds = standing(refused)
        assert (refused.status_code, left, refused.headers["Retry-After"]) == (429, 0, str(seconds))
        assert "Session creation rate limit exceeded." in refused.text
    upgrade = {
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
        "Sec-WebSocket-Version": "13",
    }
    implicit = httpx2.get(f"{serving.url}/?apiKey={KEY}", headers=upgrade)
    assert implicit.status_code == 429 and standing(implicit)[0] == 0 and "Retry-After" in implicit.headers
    assert http.get("/v1/sessions/all/status").json()["data"]["count"] == 3
    other = http.post("/v1/sessions/async", json={}, headers={"anchor-api-key": serving.new_organisation()})
    assert other.status_code == 200 and other.headers["RateLimit-Policy"] != first.headers["RateLimit-Policy"]


def test_processes_count_together(with_db: Any) -> None:
    async def scenario(db: Database) -> None:
        one, two = OrgId("org_1"), OrgId("org_2")

        async def made(org: OrgId, count: int, seconds: float) -> browsers.Minute | None:
            async with db.write() as c:
                return await browsers.count_if_fewer(c, org, count, 5, AT + timedelta(seconds=seconds))

        async with db.write() as c:
            for org in (one, two):
                await c.raw.execute("insert into organisation (id, slug, name, created_at) values ($1, $1, $1, $2)", org, AT)
        answers = await asyncio.gather(*(made(one, 1, n / 10) for n in range(8)))
        assert sorted(one.made for one in answers if one) == [1, 2, 3, 4, 5]
        assert await made(two, 3, 1) == (AT + timedelta(seconds=1), 3)
        assert await made(two, 3, 2) is None and await made(two, 2, 3) == (AT + timedelta(seconds=1), 5)
        assert await made(one, 1, 59) is None and await made(one, 4, 61) == (AT + timedelta(seconds=61), 4)
        assert await made(one, 1, -3600) == (AT - timedelta(seconds=3600), 1), "a clock that was put right holds nobody up"
        async with db.read() as c:
            assert await browsers.find_minute(c, two) == (AT + timedelta(seconds=1), 5)

    with_db(scenario)
