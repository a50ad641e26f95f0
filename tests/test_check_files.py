"""Uploaded files of claims: what is read, what is left out, what is refused, and that each makes one batch."""

import json
import random
import threading
import time
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import httpx2
import psutil
import pytest

from passel.blobs import BlobStore
from passel.core.errors import NotFound
from passel.core.ids import KeyId
from passel.engine.duties import Sweeper
from passel.services.deps import Caller
from passel.services.verification import uploads
from passel.services.verification.items import ItemRequest
from passel.store.database import Database
from tests.support.installation import Installation, scratch_dir, wait_until
from tests.support.worlds import World
from tests.test_check import FORMAL, ended, get
from tests.test_deleting import deps_of
from tests.test_tenancy import stranger

__all__ = ["stranger"]

CSV = b"""content,context.source,Context.publishDate,idempotencyKey
"2 + 2 = 4, they say",wikipedia,2024-01-15,claim-001

"7 times 8 is 56",,,claim-002
,x,y,claim-003
"a ""quoted"" word
over two lines",,,
"""


def upload(passel: Installation, data: bytes, name: str = "claims.csv", kind: str = "application/octet-stream") -> httpx2.Response:
    return passel.http().post("/v1/batch/upload", files={"file": (name, data, kind)})


def uploaded(passel: Installation, data: bytes, name: str = "claims.csv", kind: str = "application/octet-stream") -> Any:
    answer = upload(passel, data, name, kind)
    assert answer.status_code == 200, answer.text
    return answer.json()


def refused(passel: Installation, data: bytes, name: str = "claims.csv") -> list[Any]:
    answer = upload(passel, data, name)
    assert answer.status_code == 400, answer.text
    assert answer.json()["error"] == "File parsing failed"
    return answer.json()["validationErrors"]


def batch_of(passel: Installation, file_id: str, **fields: Any) -> httpx2.Response:
    return passel.http().post("/v1/batch", json={"fileId": file_id, "methods": FORMAL, **fields})


def results(passel: Installation, batch_id: str) -> list[Any]:
    return get(passel, f"/v1/batch/{batch_id}/results", limit=100)["items"]


def test_a_csv_becomes_a_batch(passel: Installation) -> None:
    kept = uploaded(passel, CSV)
    assert (kept["format"], kept["originalFileName"], kept["itemCount"]) == ("csv", "claims.csv", 3)
    assert kept["validationErrors"] == [{"row": 3, "error": "Content is empty, row skipped", "line": 5}]
    assert kept["message"] == "File uploaded with 1 validation warning(s). Items with errors were skipped."
    made = batch_of(passel, kept["fileId"], name="of a file", context={"lang": "en"})
    assert made.status_code == 202 and made.json()["inputFormat"] == "csv"
    batch = ended(passel, made.json()["id"])
    assert (batch["inputFormat"], batch["originalFileName"], batch["totalItems"]) == ("csv", "claims.csv", 3)
    items = results(passel, batch["id"])
    assert [item["itemIndex"] for item in items] == [0, 1, 2] and [item["sourceRow"] for item in items] == [1, 2, 4]
    assert items[0]["content"] == "2 + 2 = 4, they say"
    assert items[0]["itemContext"] == {"source": "wikipedia", "publishDate": "2024-01-15"} and items[1]["itemContext"] is None
    assert [item["idempotencyKey"] for item in items] == ["claim-001", "claim-002", None]
    assert items[1]["verdict"] == "true" and items[2]["content"] == 'a "quoted" word\nover two lines'


@pytest.mark.parametrize(
    ("name", "data", "format"),
    [
        ("a.json", b'[{"content": "1 = 1", "context": {"premises": ["x = 1"]}, "idempotencyKey": "j-1"}]', "json"),
        ("a.json", b'\xef\xbb\xbf{"version": 2, "items": [{"content": "1 = 1"}]}', "json"),
        ("a.jsonl", b'{"content": "1 = 1"}\n\n{"content": "2 = 2"}', "jsonl"),
        ("a", b'{"content": "1 = 1"}\n{"content": "2 = 2"}\n', "jsonl"),
        ("a", b'{"items": [{"content": "1 = 1"}]}', "json"),
        ("a.bin", b'[{"content": "1 = 1"}]', "json"),
        ("A.CSV", b"\xef\xbb\xbfCONTENT\r\n1 = 1\r\n", "csv"),
    ],
)
def test_formats_are_known_by_name_or_look(passel: Installation, name: str, data: bytes, format: str) -> None:
    kept = uploaded(passel, data, name)
    assert kept["format"] == format and kept["validationErrors"] == [] and kept["message"] == "File uploaded successfully"
    batch = ended(passel, batch_of(passel, kept["fileId"]).json()["id"])
    assert batch["successCount"] == kept["itemCount"]


@pytest.mark.parametrize(
    ("name", "data", "error"),
    [
        ("a.csv", b"", "Missing required column: content"),
        ("a.csv", b"text,source\nx,y\n", "Missing required column: content"),
        ("a.csv", b"content,Content\nx,y\n", "Duplicate column: content"),
        ("a.csv", b"content\n\x00\n", "NUL"),
        ("a.csv", b"content\n\xff\xfe\n", "UTF-8"),
        ("a.csv", "content\nx\n".encode("utf-16"), "NUL|UTF-8"),
        ("a.csv", b'content\n"not closed\n', "cannot be read"),
        ("a.csv", b"content\n" + b"x" * (1024 * 1024 + 1), "field larger"),
        ("a.csv", b"content\n" + b"x" * (5 * 1024 * 1024), "longer"),
        ("a.csv", b"content" + b",context.a" * 2000, "Duplicate column: context.a"),
        ("a.csv", b"content\n\n  \n", "no items"),
        ("a.json", b"", "ends in the middle"),
        ("a.json", b"{", "Expecting value"),
        ("a.json", b'{"data": []}', "items"),
        ("a.json", b"[]", "no items"),
        ("a.json", b'"text"', "something else"),
        ("a.json", b"[" * 100_000, "nested too deep|cannot be read"),
        ("a.json", b'[{"content": "' + b"x" * (5 * 1024 * 1024) + b'"}]', "larger"),
        ("a.jsonl", b"\n\n", "no items"),
        ("a.bin", b"\x89PNG\r\n\x1a\n", "Unsupported file format"),
    ],
)
def test_what_cannot_be_used_is_refused_with_a_reason(passel: Installation, name: str, data: bytes, error: str) -> None:
    [problem] = refused(passel, data, name)
    assert problem["row"] >= 1 and any(part in problem["error"] for part in error.split("|")), problem


@pytest.mark.parametrize(
    ("name", "data", "row", "error"),
    [
        ("a.csv", b"content\n" + b"x" * 50_001 + b"\n1 = 1\n", 1, "Content exceeds maximum length (50000 chars), row skipped"),
        ("a.csv", b"content,idempotencyKey\n1 = 1,k\n2 = 2,k\n", 2, "Duplicate idempotencyKey, row skipped"),
        ("a.csv", b"content\n1 = 1\n2 = 2,3\n", 2, "Too many columns, row skipped"),
        ("a.json", b'[{"content": "1 = 1"}, 5]', 2, "An item must be an object, row skipped"),
        ("a.json", b'[{"content": "1 = 1"}, {"content": 5}]', 2, "Content must be a string, row skipped"),
        ("a.json", b'[{"content": "1 = 1"}, {"content": "x", "context": [1]}]', 2, "Context must be an object, row skipped"),
        ("a.json", b'[{"content": "1 = 1"}, {"content": "\\u0000"}]', 2, "characters that cannot be stored"),
        ("a.json", b'[{"content": "1 = 1"}, {"content": "x", "context": {"a": "\\ud800"}}]', 2, "characters that cannot be stored"),
        ("a.csv", b"content,idempotencyKey\n,k\n2 = 2,k\n", 1, "Content is empty, row skipped"),
        ("a.jsonl", b'{"content": "1 = 1"}\n{"content": \n', 2, "not valid JSON"),
        ("a.jsonl", b'{"content": "1 = 1"}\n{"content": "x", "context": {"a": 18446744073709551616}}\n', 2, "more than 64 bits"),
        ("a.json", b'[{"content": "1 = 1"}, {"content": "x", "context": {"a": [-9223372036854775809]}}]', 2, "more than 64 bits"),
        (
            "a.json",
            b'[{"content": "1 = 1"}, {"content": "x", "context": ' + b'{"a": ' * 40 + b"1" + b"}" * 40 + b"}]",
            2,
            "deeper than 32",
        ),
    ],
)
def test_rows_that_are_wrong_are_left_out_and_told(passel: Installation, name: str, data: bytes, row: int, error: str) -> None:
    kept = uploaded(passel, data, name)
    [problem] = kept["validationErrors"]
    assert kept["itemCount"] == 1 and problem["row"] == row and error in problem["error"] and problem["error"].endswith(", row skipped")


def test_a_header_of_many_columns_is_read_in_no_time(passel: Installation) -> None:
    began = time.perf_counter()
    kept = uploaded(passel, ("content," + ",".join(f"context.c{n}" for n in range(50_000)) + "\n1 = 1\n").encode())
    assert kept["itemCount"] == 1 and time.perf_counter() - began < 5


def test_the_form_field_is_named_file(passel: Installation) -> None:
    http = passel.http()
    for answer in (
        http.post("/v1/batch/upload", files={"data": ("a.csv", b"content\nx\n")}),
        http.post("/v1/batch/upload", json={}),
        http.post("/v1/batch/upload", data={"file": "content"}),
    ):
        assert answer.status_code == 400, answer.text
        error = answer.json()["error"]
        assert (error["code"], error["message"]) == ("validation_error", 'File is required. Use form field name "file".')


def test_a_file_makes_one_batch(passel: Installation, stranger: str) -> None:
    kept = uploaded(passel, CSV)
    gone = {"code": "not_found", "message": "File not found, expired, or already used"}
    foreign = passel.http(stranger).post("/v1/batch", json={"fileId": kept["fileId"], "methods": FORMAL})
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda _: batch_of(passel, kept["fileId"]), range(8)))
    assert sorted(answer.status_code for answer in answers) == [202, *[404] * 7]
    for answer in (foreign, batch_of(passel, kept["fileId"]), batch_of(passel, "no-such"), *answers):
        if answer.status_code != 202:
            assert answer.status_code == 404 and answer.json()["error"].items() >= gone.items()
    both = passel.http().post("/v1/batch", json={"fileId": kept["fileId"], "items": [{"content": "x"}], "methods": FORMAL})
    assert both.status_code == 422 and both.json()["error"]["message"] == "Provide either items or fileId"


def test_a_refused_batch_leaves_its_file_unused(passel: Installation) -> None:
    kept = uploaded(passel, CSV)
    assert batch_of(passel, kept["fileId"], methods={"reasoning": 1}).status_code == 422
    assert batch_of(passel, kept["fileId"], name="x" * 256).status_code == 422
    assert batch_of(passel, kept["fileId"]).status_code == 202


def corrupted(r: random.Random, data: bytes) -> bytes:
    """A few bytes of it removed, doubled, replaced, or moved."""
    changed = bytearray(data)
    for _ in range(r.randint(1, 8)):
        at = r.randrange(len(changed))
        match r.randrange(4):
            case 0:
                del changed[at : at + r.randint(1, 5)]
            case 1:
                changed[at:at] = r.choice([b'"', b",", b"\n", b"\x00", b"\xff", b"{", b"]", b"\xef\xbb\xbf", b"\\u0000", b"\r"])
            case 2:
                changed[at] = r.randrange(256)
            case _:
                changed[at:at] = changed[: r.randint(1, 20)]
        if not changed:
            return b"x"
    return bytes(changed)


def test_no_file_whatever_breaks_the_server(passel: Installation) -> None:
    r = random.Random(7)
    as_json = b'{"items": [{"content": "1 = 1", "context": {"a": [1, {"b": null}]}, "idempotencyKey": "k"}, {"content": "2 = 2"}]}'
    seeds = [("a.csv", CSV), ("a.json", as_json), ("a.jsonl", b'{"content": "1 = 1"}\n{"content": "2 = 2"}\n'), ("a", CSV), ("a", as_json)]
    for _ in range(300):
        name, data = r.choice(seeds)
        answer = upload(passel, corrupted(r, data), name)
        assert answer.status_code in (200, 400), answer.text
        assert ("fileId" in answer.json()) == (answer.status_code == 200)


@pytest.fixture(scope="module")
def small() -> Iterator[Installation]:
    with scratch_dir() as directory:
        passel = Installation(directory, 1, {"PASSEL_MAX_UPLOAD_MIB": "30", "PASSEL_MAX_BATCH_ITEMS": "500000"}).start()
        yield passel
        passel.stop()


def test_a_file_may_not_be_too_large(small: Installation) -> None:
    answer = upload(small, b"content\n" + b"1 = 1\n" * (6 * 1024 * 1024))
    assert answer.status_code == 413
    error = answer.json()["error"]
    assert (error["code"], error["message"]) == ("payload_too_large", "File size exceeds maximum of 30 MB")


def peak_while(process: psutil.Process, act: Callable[[], Any]) -> tuple[int, Any]:
    """The most memory of a process while something is done, in bytes above what it had."""
    before, most, done = process.memory_info().rss, 0, threading.Event()

    def watch() -> None:
        nonlocal most
        while not done.wait(0.01):
            most = max(most, process.memory_info().rss)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        result = act()
    finally:
        done.set()
        watcher.join()
    return most - before, result


@pytest.mark.parametrize("format", [pytest.param("csv", marks=pytest.mark.slow), pytest.param("json", marks=pytest.mark.slow), "jsonl"])
def test_a_large_file_takes_little_memory(small: Installation, format: str) -> None:
    """Of 25 MB and 200,000 claims, in the process of the API; what it is read with is there once."""
    claims = [f"{n} + 1 = {n + 1}, {'x' * 90}" for n in range(200_000)]
    if format == "csv":
        data = ("content\n" + "\n".join(f'"{claim}"' for claim in claims)).encode()
    else:
        lines = [json.dumps({"content": claim}) for claim in claims]
        data = ("[" + ",".join(lines) + "]" if format == "json" else "\n".join(lines)).encode()
    uploaded(small, CSV)
    [api] = small.children("api")
    grown, kept = peak_while(api, lambda: uploaded(small, data, f"large.{format}"))
    assert kept["itemCount"] == 200_000 and grown < 40_000_000, grown
    grown, made = peak_while(api, lambda: batch_of(small, kept["fileId"]))
    assert made.status_code == 202 and grown < 60_000_000, grown
    small.http().post(f"/v1/batch/{made.json()['id']}/cancel")
    wait_until(lambda: get(small, f"/v1/batch/{made.json()['id']}")["completedAt"])


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"content\n" + (b"ab," * 100_000 + b'"\n",') * 80, "The record at line 2 is longer"),
        (b"content\n" + b"ab," * 1_300_000 + b"\n", "A line is longer"),
    ],
)
def test_a_record_that_never_ends_takes_little_memory(small: Installation, data: bytes, error: str) -> None:
    """Also where each of its fields is short, and each of its lines."""
    uploaded(small, CSV)
    [api] = small.children("api")
    grown, [problem] = peak_while(api, lambda: refused(small, data))
    assert error in problem["error"] and grown < 60_000_000, (problem, grown)
    grown, answer = peak_while(
        api, lambda: small.http().post("/v1/facts", files={"file": ("facts.csv", data.replace(b"content", b"text", 1))})
    )
    assert answer.status_code == 422 and error in answer.text and grown < 60_000_000, (answer.text, grown)


class Killed(BaseException):
    """What no code of ours gets hold of."""


class LastWords(BlobStore):
    """Its process dies when the bytes are there."""

    async def put(self, path: str, data: bytes | AsyncIterable[bytes]) -> None:
        await super().put(path, data)
        raise Killed


def test_what_a_process_leaves_behind_that_dies_is_swept(with_db: Any) -> None:
    async def scenario(db: Database) -> None:
        world = await World(db).start()
        blobs = LastWords("memory:///")
        deps = replace(deps_of(world), blobs=blobs)
        caller = Caller(world.org_id, KeyId("key_1"))

        async def records() -> AsyncIterator[list[uploads.Record]]:
            yield [uploads.Record(1, ItemRequest("1 = 1"))]

        with pytest.raises(Killed):
            await uploads.keep(deps, caller, "a.csv", "csv", records())
        left = await world.value("select id from upload")
        path = uploads.blob_path(world.org_id, left)
        assert await blobs.get(path)
        with pytest.raises(NotFound):
            await uploads.find(deps, caller, left)
        world.tick(25 * 3600)
        await Sweeper(db, [uploads.OldUploads(deps)]).tick()
        assert await world.value("select count(*) from upload") == 0
        with pytest.raises(KeyError):
            await blobs.get(path)

    with_db(scenario)
