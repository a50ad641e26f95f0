"""How often a key may call the check face, where the server limits it."""

import time

import httpx2

from passel.core.ids import KeyId
from passel.faces.check.rate import Buckets
from tests.support.installation import Installation, scratch_dir

ONE, TWO = KeyId("key_1"), KeyId("key_2")


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_a_bucket_empties_and_fills() -> None:
    clock = Clock()
    buckets = Buckets(60, 20, clock)
    taken = [buckets.take(ONE) for _ in range(81)]
    assert [one.allowed for one in taken] == [True] * 80 + [False]
    assert [one.remaining for one in taken[:2]] == [79, 78] and taken[79].remaining == 0
    assert taken[80].next_in == 1.0 and taken[80].full_in == 80.0
    assert buckets.take(TWO).remaining == 79
    clock.now += 0.5
    assert not buckets.take(ONE).allowed
    clock.now += 0.5
    assert buckets.take(ONE).allowed and not buckets.take(ONE).allowed
    clock.now += 3600
    assert buckets.take(ONE).remaining == 79


def test_a_key_that_calls_too_often_is_refused() -> None:
    settings = {"PASSEL_VERIFICATION_RATE": "1", "PASSEL_VERIFICATION_BURST": "2"}
    with scratch_dir() as data:
        passel = Installation(data, 0, settings).start()
        http = passel.http()
        answers = [http.get("/v1/batch") for _ in range(4)]
        assert [one.status_code for one in answers] == [200, 200, 200, 429]
        assert [one.headers["X-RateLimit-Remaining"] for one in answers] == ["2", "1", "0", "0"]
        refused = answers[3]
        assert refused.json()["error"]["code"] == "rate_limited" and refused.json()["error"]["requestId"]
        assert refused.headers["X-RateLimit-Limit"] == "1" and 50 <= int(refused.headers["Retry-After"]) <= 60
        assert time.time() + 170 < int(refused.headers["X-RateLimit-Reset"]) < time.time() + 182
        assert "Retry-After" not in answers[0].headers
        assert http.get("/v1/agents").status_code == 200
        status = httpx2.get(f"{passel.url}/v1/status")
        assert status.status_code == 200 and "X-RateLimit-Limit" not in status.headers
        bad = httpx2.get(f"{passel.url}/v1/batch", headers={"Authorization": "Bearer nonsense"})
        assert bad.status_code == 401
        assert passel.stop() == 0


def test_without_the_setting_nobody_counts(passel: Installation) -> None:
    assert "X-RateLimit-Limit" not in passel.http().get("/v1/batch").headers
