"""What an organisation uses in a month: counted, limited, and told."""

import asyncio
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from passel.core.context import Step
from passel.core.endings import Done, Fail
from passel.core.usage import crossed, percent, period_of
from passel.store import accounts, usage
from passel.store.database import Database
from tests.support.installation import Installation, wait_until
from tests.support.receiver import receiver
from tests.support.worlds import World


def test_months_are_those_of_utc() -> None:
    assert period_of(datetime(2026, 12, 1, 0, 30, tzinfo=timezone(timedelta(hours=1)))) == "2026-11"
    assert period_of(datetime(2026, 12, 1, tzinfo=UTC)) == "2026-12"


@pytest.mark.parametrize(
    ("before", "used", "most", "marks"),
    [(0, 7, 10, []), (7, 8, 10, [80]), (8, 9, 10, []), (9, 10, 10, [100]), (10, 11, 10, []), (0, 50, 10, [80, 100]), (0, 1, 0, []),
     (0, 1, 1, [80, 100]), (2, 3, 4, []), (3, 4, 4, [80, 100])],
)  # fmt: skip
def test_each_mark_is_crossed_once(before: int, used: int, most: int, marks: list[int]) -> None:
    assert crossed(before, used, most) == marks


def test_percent_is_rounded_down() -> None:
    assert [percent(used, 3) for used in range(4)] == [0, 33, 66, 100] and percent(0, 0) == 100


def test_only_what_has_ended_well_is_counted_and_only_once(with_db: Any) -> None:
    async def scenario(db: Database) -> None:
        world = await World(db, kind="verification").start()
        await world.batch(4)
        done, failed, other, settled = await world.claim()
        counts = Done(counts_as="verification")
        assert await world.finish(done.lease, counts) and not await world.finish(done.lease, counts)
        assert await world.finish(failed.lease, Fail("no")) and await world.finish(other.lease, Done())
        assert await world.step(settled.lease, Step(settles=Done())) and await world.finish(settled.lease, counts)
        async with db.read() as c:
            assert await usage.find(c, world.org_id, "verification", period_of(world.now)) == 1
            assert await usage.find(c, world.org_id, "verification", "2026-10") == 0
        await world.check()

    with_db(scenario)


def test_two_who_count_at_once_lose_nothing(with_db: Any) -> None:
    async def scenario(db: Database) -> None:
        world = await World(db).start()
        async with db.write() as c:
            await accounts.put_settings(c, world.org_id, {"monthly_limit": 100})

        async def count(n: int) -> None:
            async with db.write() as c:
                await usage.count(c, {(world.org_id, "verification"): n}, None, world.now)

        await asyncio.gather(*(count(n) for n in range(1, 21)))
        assert await world.value("select used from usage") == 210

    with_db(scenario)


def test_a_limit_warns_then_ends(passel: Installation) -> None:
    """An organisation of its own, whose owner sets its limit."""
    owner = passel.http()
    child = owner.post("/v1/organizations", json={"name": "Small"}).json()["id"]
    http = passel.http(owner.post(f"/v1/organizations/{child}/api-keys", json={"label": "small"}).json()["api_key"])
    month = period_of(datetime.now(UTC))
    assert http.get("/v1/usage").json() == {"period": month, "used": 0, "limit": None, "percent": None}
    assert owner.put("/v1/settings", params={"organization": child}, json={"monthlyLimit": 5}).status_code == 200
    with receiver() as got:
        hook = http.post("/v1/webhooks", json={"url": got.url, "events": ["usage.limit.warning", "usage.limit.reached"]})
        assert hook.status_code == 201

        def batch(count: int) -> Any:
            items = [{"content": f"{n} = {n}"} for n in range(count)]
            return http.post("/v1/batch", json={"items": items, "methods": {"formal": 1}})

        def verify() -> Any:
            return http.post("/v1/verify", json={"content": "1 = 1", "methods": {"formal": 1}})

        too_many = batch(6)
        assert too_many.status_code == 402 and too_many.json()["error"]["code"] == "quota_exceeded"
        made = batch(3).json()["id"]
        wait_until(lambda: http.get(f"/v1/batch/{made}").json()["completedAt"])
        assert http.get("/v1/usage").json() == {"period": month, "used": 3, "limit": 5, "percent": 60}
        assert verify().status_code == 200
        [warning] = got.wait_for(1)
        assert warning.body["type"] == "usage.limit.warning" and warning.body["id"].startswith("evt_")
        assert warning.body["data"] == {"period": month, "used": 4, "limit": 5, "percent": 80}
        assert verify().status_code == 200
        reached = got.wait_for(2)[1]
        assert reached.body["type"] == "usage.limit.reached" and reached.body["data"]["used"] == 5
        refused = verify()
        assert refused.status_code == 402
        assert refused.json()["error"]["message"] == f"Monthly limit of 5 verifications is reached: 5 were used in {month}."
        assert owner.put("/v1/settings", params={"organization": child}, json={"monthlyLimit": None}).status_code == 200
        assert http.get("/v1/usage").json()["limit"] is None
        assert len(got.got) == 2
        http.delete(f"/v1/webhooks/{hook.json()['id']}")
