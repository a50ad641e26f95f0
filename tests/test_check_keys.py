"""Idempotency keys: of items, whose claims are verified once, and of requests, which are made once."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.support.installation import Installation, PlayedModel, scratch_dir
from tests.test_check import FORMAL, ended, get
from tests.test_check_files import results, uploaded

ASKING = {"reasoning": 1}


@pytest.fixture(scope="module")
def slow(model: PlayedModel) -> Iterator[Installation]:
    settings = {
        "PASSEL_VERIFICATION_MODEL": "wait-0.5+verifier",
        "PASSEL_VERIFICATION_BASE_URL": model.url,
        "PASSEL_VERIFICATION_PRICE": "100,200",
    }
    with scratch_dir() as directory:
        passel = Installation(directory, 2, settings).start()
        yield passel
        passel.stop()


def make(passel: Installation, items: list[Any], methods: dict[str, float], **headers: str) -> Any:
    answer = passel.http().post("/v1/batch", json={"items": items, "methods": methods}, headers=headers)
    assert answer.status_code == 202, answer.text
    return answer.json()


def test_a_key_is_verified_once_also_by_batches_at_once(slow: Installation, model: PlayedModel) -> None:
    items = [{"content": f"Keyed fact {n}", "idempotencyKey": f"once-{n}"} for n in range(20)]
    before = sum(model.calls().values())
    with ThreadPoolExecutor(3) as threads:
        made = list(threads.map(lambda _: make(slow, items, ASKING), range(3)))
    batches = [ended(slow, one["id"]) for one in made]
    assert sum(model.calls().values()) - before == 20
    assert sum(batch["totalCostCents"] for batch in batches) == 20 and {batch["successCount"] for batch in batches} == {20}
    pages = [results(slow, batch["id"]) for batch in batches]
    for three in zip(*pages, strict=True):
        assert len({item["verificationId"] for item in three}) == 1
        assert sorted(item["costCents"] for item in three) == [0, 0, 1]
        assert {item["verdict"] for item in three} == {"true"}
    assert get(slow, f"/v1/verify/{pages[2][0]['verificationId']}")["paradigmResults"]


def test_a_key_stands_for_one_content(slow: Installation) -> None:
    first = ended(slow, make(slow, [{"content": "3 = 3", "idempotencyKey": "content"}], FORMAL)["id"])
    assert first["successCount"] == 1
    other = ended(slow, make(slow, [{"content": "4 = 4", "idempotencyKey": "content"}], FORMAL)["id"])
    [item] = results(slow, other["id"])
    assert (item["status"], item["errorMessage"]) == ("failed", "idempotencyKey was already used with different content")


def test_other_methods_are_another_question(slow: Installation, model: PlayedModel) -> None:
    item = {"content": "5 is 5", "idempotencyKey": "methods"}
    before = sum(model.calls().values())
    for methods in (FORMAL, ASKING, ASKING):
        ended(slow, make(slow, [item], methods)["id"])
    assert sum(model.calls().values()) - before == 1


def test_what_failed_is_verified_anew(slow: Installation) -> None:
    item = {"content": "nonsense", "idempotencyKey": "failed"}
    for _ in range(2):
        batch = ended(slow, make(slow, [item], ASKING)["id"])
        assert batch["failureCount"] == 1 and "cannot be read" in results(slow, batch["id"])[0]["errorMessage"]


def test_a_repeated_request_makes_nothing_new(passel: Installation) -> None:
    http, headers = passel.http(), {"Idempotency-Key": "request-1"}
    body = {"content": "6 = 6", "methods": FORMAL}
    with ThreadPoolExecutor(4) as threads:
        answers = list(threads.map(lambda _: http.post("/v1/verify", json=body, headers=headers), range(4)))
    assert len({answer.json()["id"] for answer in answers}) == 1
    other = http.post("/v1/verify", json={**body, "content": "7 = 7"}, headers=headers)
    assert other.status_code == 409 and other.json()["error"]["code"] == "conflict"
    assert http.post("/v1/verify", json=body, headers={"Idempotency-Key": "x" * 256}).status_code == 400


def test_a_repeated_request_is_the_same_whatever_the_server_has_learned_since(slow: Installation) -> None:
    http, headers = slow.http(), {"Idempotency-Key": "request-2"}
    body = {"content": "A fact", "methods": ASKING, "async": True}
    first = http.post("/v1/verify", json=body, headers=headers).json()["id"]
    changed = {"calibrators": {"reasoning": {"a": 0.5, "b": 0.0, "version": "v", "claims": 50}}, "monthlyLimit": 0}
    assert http.put("/v1/settings", json=changed).status_code == 200
    try:
        assert http.post("/v1/verify", json=body, headers=headers).json()["id"] == first
    finally:
        http.put("/v1/settings", json={"calibrators": {}, "monthlyLimit": None})


def test_a_repeated_batch_is_the_same_batch(passel: Installation) -> None:
    http, headers = passel.http(), {"Idempotency-Key": "batch-1"}
    body = {"items": [{"content": "8 = 8"}], "methods": FORMAL}
    with ThreadPoolExecutor(4) as threads:
        answers = list(threads.map(lambda _: http.post("/v1/batch", json=body, headers=headers), range(4)))
    assert {answer.status_code for answer in answers} == {202} and len({answer.json()["id"] for answer in answers}) == 1
    for other in ({**body, "items": [{"content": "9 = 9"}]}, {**body, "methods": {"formal": 0.5}}, {**body, "name": "x"}):
        assert http.post("/v1/batch", json=other, headers=headers).status_code == 409


def test_a_repeated_request_for_a_file_is_the_first_ones_batch_also_while_that_is_under_way(passel: Installation) -> None:
    http = passel.http()
    for _ in range(4):
        file_id = uploaded(passel, b"content\n" + b"1 = 1\n" * 200)["fileId"]
        body, headers = {"fileId": file_id, "methods": FORMAL}, {"Idempotency-Key": f"of {file_id}"}
        with ThreadPoolExecutor(4) as threads:
            answers = [*threads.map(lambda _, b=body, h=headers: http.post("/v1/batch", json=b, headers=h), range(4))]
        answers.append(http.post("/v1/batch", json=body, headers=headers))
        assert {answer.status_code for answer in answers} == {202} and len({answer.json()["id"] for answer in answers}) == 1
        assert http.post("/v1/batch", json=body).status_code == 404


def test_a_repeated_batch_is_no_further_use(slow: Installation) -> None:
    http, headers = slow.http(), {"Idempotency-Key": "batch-3"}
    body = {"items": [{"content": "8 = 8"}], "methods": FORMAL}
    first = http.post("/v1/batch", json=body, headers=headers).json()["id"]
    assert http.put("/v1/settings", json={"monthlyLimit": 0}).status_code == 200
    try:
        assert http.post("/v1/batch", json=body, headers=headers).json()["id"] == first
    finally:
        http.put("/v1/settings", json={"monthlyLimit": None})
