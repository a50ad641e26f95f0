"""Facts over HTTP and from the command line: loaded, listed, deleted, and refused with the field's name."""

import asyncio
import io
import json
from pathlib import Path
from typing import Any

import httpx2
import pytest

from passel.core.errors import Unprocessable
from passel.faces.check.fact_requests import CsvUpload
from tests.support.installation import Installation
from tests.test_cli import passel_command
from tests.test_tenancy import stranger

__all__ = ["stranger"]


def post(passel: Installation, body: Any) -> httpx2.Response:
    return passel.http().post("/v1/facts", json=body)


def upload(passel: Installation, data: bytes, name: str = "file") -> httpx2.Response:
    return passel.http().post("/v1/facts", files={name: ("facts.csv", data)})


def known(passel: Installation) -> int:
    return passel.http().get("/v1/facts").json()["pagination"]["total"]


def test_one_fact_is_loaded_changed_and_deleted(passel: Installation) -> None:
    before = known(passel)
    made = post(passel, {"text": " The Rhine is 1230 km long. ", "source": "an atlas", "date": "2026-01-31", "unknown": 1})
    assert made.status_code == 201
    fact = made.json()
    assert fact["id"].startswith("fact_") and fact["createdAt"].endswith("Z")
    told = {name: fact[name] for name in ("text", "polarity", "source", "date")}
    assert told == {"text": "The Rhine is 1230 km long.", "polarity": True, "source": "an atlas", "date": "2026-01-31"}
    again = post(passel, {"text": "The Rhine is 1230 km long.", "polarity": False}).json()
    assert again["id"] == fact["id"] and again["polarity"] is False and again["source"] is None
    assert known(passel) == before + 1
    assert passel.http().get("/v1/facts", params={"limit": "1"}).json()["data"] == [again]
    gone = passel.http().delete(f"/v1/facts/{fact['id']}")
    assert (gone.status_code, gone.json()) == (200, {"id": fact["id"], "deleted": True})
    assert passel.http().delete(f"/v1/facts/{fact['id']}").status_code == 404
    assert known(passel) == before


def test_a_list_is_loaded_whole_and_each_text_once(passel: Installation) -> None:
    before = known(passel)
    body = post(passel, [{"text": "Iron is a metal."}, {"text": "Iron is a gas.", "polarity": False}, {"text": "Iron is a metal."}]).json()
    assert (body["total"], body["created"], body["updated"], len(body["data"])) == (3, 2, 0, 2)
    assert known(passel) == before + 2
    for fact in body["data"]:
        passel.http().delete(f"/v1/facts/{fact['id']}")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "text"),
        ({"text": "  "}, "text"),
        ({"text": 7}, "text"),
        ({"text": "x" * 1001}, "text"),
        ({"text": "x\0y"}, "text"),
        ({"text": "x", "polarity": "maybe"}, "polarity"),
        ({"text": "x", "polarity": 1}, "polarity"),
        ({"text": "x", "date": "31.1.2026"}, "date"),
        ({"text": "x", "date": 2026}, "date"),
        ({"text": "x", "source": ["a"]}, "source"),
        ([], "facts"),
        ([{"text": "x"}, 3], "facts[1]"),
        ([{"text": "x"}, {"text": ""}], "facts[1].text"),
        ([{"text": "x"}] * 1001, "facts"),
        ("x", "body"),
    ],
)
def test_a_bad_fact_is_refused_with_its_field(passel: Installation, body: Any, field: str) -> None:
    before = known(passel)
    refused = post(passel, body)
    assert refused.status_code == 422 and refused.json()["error"]["details"][0]["field"] == field, refused.text
    assert known(passel) == before


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "text"),
        (b"text\n", "no facts"),
        (b"name,polarity\nx,true\n", "text"),
        (b"text,colour\nx,red\n", "colour"),
        (b"text,text\nx,y\n", "twice"),
        (b"text\nx,y\n", "Line 2 has 2 columns"),
        (b"text,polarity\nx,true\ny,perhaps\n", "row 2, polarity"),
        (b"text,date\nx,yesterday\n", "row 1, date"),
        (b"text\n\xff\xfe\n", "UTF-8"),
        (b'text\n"x\n', "CSV"),
        (b"text\nx\0y\n", "NUL"),
        (b"text\n" + b"x" * 200_000 + b"\n", "1000 characters"),
        (b"text\n" + b"x" * 1_100_000 + b"\n", "CSV"),
        (b"text\n" + b"x" * 8_000_000 + b"\n", "longer"),
    ],
)
def test_a_bad_file_is_refused_whole(passel: Installation, data: bytes, said: str) -> None:
    before = known(passel)
    refused = upload(passel, b"\xef\xbb\xbf" + data if data else data)
    assert refused.status_code == 422 and said in refused.json()["error"]["message"], refused.text
    assert known(passel) == before


def test_a_line_without_end_is_not_read_to_its_end() -> None:
    file = io.BytesIO(b"text\n" + b"x" * 30_000_000)
    with pytest.raises(Unprocessable, match="A line is longer"):
        asyncio.run(CsvUpload(file).check())
    assert file.tell() < 3_000_000


def test_what_is_no_upload_is_refused(passel: Installation) -> None:
    assert upload(passel, b"text\nx\n", "data").json()["error"]["details"][0]["field"] == "file"
    assert passel.http().post("/v1/facts", data={"file": "x"}, files={"other": b"y"}).status_code == 422
    assert passel.http().post("/v1/facts", content=b"{").status_code == 400
    assert passel.http().post("/v1/facts", content=b"{}", headers={"Content-Type": "text/plain"}).status_code == 400
    broken = passel.http().post("/v1/facts", content=b"x", headers={"Content-Type": "multipart/form-data"})
    assert broken.status_code == 400 and broken.json()["error"]["code"] == "bad_request"
    assert passel.http().post("/v1/facts", content=b" " * (5 * 1024 * 1024)).status_code == 413
    assert passel.http().get("/v1/facts", params={"limit": "101"}).status_code == 400


def test_another_organisations_facts_are_not_there(passel: Installation, stranger: str) -> None:
    mine = post(passel, {"text": "This is only ours."}).json()["id"]
    theirs = passel.http(stranger)
    assert theirs.get("/v1/facts").json() == {"data": [], "pagination": {"total": 0, "limit": 20, "offset": 0, "hasMore": False}}
    assert theirs.delete(f"/v1/facts/{mine}").json()["error"]["code"] == "not_found"
    same = theirs.post("/v1/facts", json={"text": "This is only ours."}).json()["id"]
    assert same != mine and theirs.delete(f"/v1/facts/{same}").status_code == 200
    assert passel.http().delete(f"/v1/facts/{mine}").status_code == 200


def test_a_file_is_loaded_from_the_command_line_and_repeated(passel: Installation, tmp_path: Path) -> None:
    file = tmp_path / "facts.csv"
    rows = [f'"Item {n}, the {n}th, costs {n} euros.",{"false" if n % 3 else ""},a list,2026-02-03' for n in range(1200)]
    file.write_text("\n".join(["Text, polarity ,source,date", *rows, "", ""]))
    loaded = passel_command(passel, "facts", "load", str(file))
    assert loaded.returncode == 0 and loaded.stdout == "1200 new facts, 0 that were there already\n", loaded.stderr
    again = passel_command(passel, "facts", "load", str(file), "--json")
    assert json.loads(again.stdout) == {"total": 1200, "created": 0, "updated": 1200}
    listed = json.loads(passel_command(passel, "facts", "list", "--limit", "2", "--json").stdout)
    assert listed["data"][0]["text"] == "Item 1199, the 1199th, costs 1199 euros." and listed["data"][0]["polarity"] is False
    assert listed["data"][1]["source"] == "a list" and listed["data"][1]["date"] == "2026-02-03"
    shown = passel_command(passel, "facts", "list", "--limit", "1")
    assert "Item 1199" in shown.stdout and "--offset 1" in shown.stderr
    ids = [
        one["id"]
        for page in range(12)
        for one in passel.http().get("/v1/facts", params={"limit": "100", "offset": str(page * 100)}).json()["data"]
    ]
    assert len(set(ids)) == 1200
    gone = passel_command(passel, "facts", "delete", *ids)
    assert gone.returncode == 0 and gone.stdout.split() == ids
    missing = passel_command(passel, "facts", "load", str(tmp_path / "nothing.csv"))
    assert missing.returncode == 1 and "nothing.csv" in missing.stderr
    file.write_text("text\nfine\n" + "\n".join(["x"] * 999) + "\n" + "y" * 1001 + "\n")
    refused = passel_command(passel, "facts", "load", str(file))
    assert refused.returncode == 1 and "rows from 1001" in refused.stderr and "row 1, text" in refused.stderr
    for one in passel.http().get("/v1/facts").json()["data"]:
        passel.http().delete(f"/v1/facts/{one['id']}")
