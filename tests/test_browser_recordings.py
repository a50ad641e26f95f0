"""Recordings, looked at frame by frame: what a page showed, whatever became of its browser, its worker or its batch."""

import contextlib
import io
import os
import signal
import time
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import httpx2
import pytest

from passel.faces.anchor.ids import session_id as own
from passel.workloads.browser import video
from passel.workloads.browser.chromium import find
from tests.support.installation import KEY, Installation, installed, wait_until
from tests.test_browsers import mains
from tests.test_chaos import rows
from tests.test_full_disk import small_disk

pytestmark = pytest.mark.skipif(find() is None, reason="no Chromium: `make test` installs Debian's where it may")

COLOURS = {"red": (220, 30, 30), "lime": (30, 220, 30), "blue": (30, 30, 220)}


def painted(colour: str) -> str:
    return "data:text/html,<body style='background:rgb({},{},{})'>".format(*COLOURS[colour])


@pytest.fixture(scope="module")
def serving() -> Iterator[Installation]:
    with installed(1, {"PASSEL_TAKEOVER_AFTER": "2"}) as installation:
        yield installation


def begin(http: httpx2.Client, **session: Any) -> str:
    viewport = {"width": 640, "height": 401}  # an odd side, which H.264 cannot have
    made = http.post("/v1/sessions", json={"session": session, "browser": {"headless": {"active": True}, "viewport": viewport}})
    assert made.status_code == 200, made.text
    return made.json()["data"]["id"]


def go(http: httpx2.Client, session_id: str, colour: str) -> None:
    """By a client of its own."""
    from websockets.sync.client import connect as websocket

    page = http.get(f"/v1/sessions/{session_id}/pages").json()["data"]["items"][0]["id"]
    url = f"{str(http.base_url).replace('http', 'ws', 1)}/devtools/page/{page}?apiKey={KEY}&sessionId={session_id}"
    with websocket(url, max_size=None) as socket:
        socket.send('{"id":1,"method":"Page.navigate","params":{"url":"' + painted(colour) + '"}}')
        socket.recv(timeout=20)
    time.sleep(0.5)  # so long it is to be seen


def end(http: httpx2.Client, session_id: str) -> Any:
    http.delete(f"/v1/sessions/{session_id}")
    return ended(http, session_id)


def ended(http: httpx2.Client, session_id: str) -> Any:
    def over() -> Any:
        found = http.get(f"/v1/sessions/{session_id}").json()["data"]
        return found if found["status"] in ("completed", "failed") else None

    return wait_until(over, 40)


def film(http: httpx2.Client, session_id: str) -> list[tuple[float, str]]:
    """When which colour is to be seen; one line for each change."""
    answer = http.get(f"/v1/sessions/{session_id}/recordings/primary/fetch")
    assert answer.status_code == 200 and answer.headers["Content-Type"] == "video/mp4", answer.text
    assert answer.content[4:8] == b"ftyp"
    changes: list[tuple[float, str]] = []
    with av.open(io.BytesIO(answer.content)) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.width, stream.height) == ("h264", 640, 402)
        for frame in container.decode(stream):
            colour = shown(frame)
            if colour and (not changes or changes[-1][1] != colour):
                changes.append((float(frame.time or 0), colour))
    return changes


def shown(frame: av.VideoFrame) -> str | None:
    picture = frame.reformat(format="rgb24")
    plane = picture.planes[0]
    at = 200 * plane.line_size + 300 * 3
    seen = bytes(plane)[at : at + 3]
    near = [name for name, colour in COLOURS.items() if all(abs(a - b) < 40 for a, b in zip(seen, colour, strict=True))]
    return near[0] if near else None


def test_what_was_shown_can_be_seen(http: httpx2.Client) -> None:
    id = begin(http, initial_url=painted("red"))
    path = f"/v1/sessions/{id}/recordings"
    time.sleep(1)
    assert http.get(path).json()["data"]["items"] == []
    assert "in progress" in http.get(f"{path}/primary/fetch").json()["error"]["message"]
    assert http.delete(f"{path}/primary").status_code == 409
    go(http, id, "lime")
    assert http.post(f"{path}/pause").json() == {"data": {"data": {"status": "paused"}}}
    go(http, id, "red")
    time.sleep(2)
    go(http, id, "blue")
    assert http.post(f"{path}/resume").json() == {"data": {"data": {"status": "recording"}}}
    time.sleep(0.5)
    end(http, id)
    changes = film(http, id)
    assert [colour for _, colour in changes] == ["red", "lime", "blue"], "what was shown while it paused is left out"
    [one] = http.get(path).json()["data"]["items"]
    assert 1.5 < float(one["duration"]) < 4.5 and one["is_primary"] and one["file_link"].endswith(f"/recordings/{one['id']}/fetch")
    assert changes[1][0] > 0.7, "times are true"
    whole = http.get(one["file_link"]).content
    part = http.get(one["file_link"], headers={"Range": "bytes=4-7"})
    assert (part.status_code, part.content, part.headers["Content-Range"]) == (206, b"ftyp", f"bytes 4-7/{one['size']}")
    assert http.get(one["file_link"], headers={"Range": "bytes=-5"}).content == whole[-5:] and len(whole) == one["size"]
    assert http.get(one["file_link"], headers={"Range": f"bytes={one['size']}-"}).status_code == 416
    assert http.post(f"{path}/pause").status_code == 409
    assert http.delete(f"{path}/primary").json() == {"data": {"status": "success"}}
    assert http.get(path).json()["data"]["count"] == 0 and http.get(f"{path}/primary/fetch").status_code == 404
    row = http.get("/v1/sessions", params={"limit": 10}).json()["data"]["sessions"][0]
    assert row["recording"] is True


def test_a_session_that_is_not_recorded(http: httpx2.Client) -> None:
    id = begin(http, recording={"active": False})
    path = f"/v1/sessions/{id}/recordings"
    assert http.post(f"{path}/pause").status_code == 404
    end(http, id)
    assert http.get(path).json()["data"]["count"] == 0
    assert http.delete(f"{path}/primary").status_code == 400


def test_a_browser_that_breaks_leaves_its_recording(http: httpx2.Client) -> None:
    before = {process.pid for process in mains()}
    id = begin(http, initial_url=painted("lime"))
    time.sleep(0.7)
    [browser] = [process for process in mains() if process.pid not in before]
    browser.kill()
    assert ended(http, id)["end_reason"] == "crash"
    assert [colour for _, colour in film(http, id)] == ["lime"]


def test_a_cancelled_batch_leaves_its_recordings(http: httpx2.Client) -> None:
    places = {
        "session": {"initial_url": painted("blue")},
        "browser": {"headless": {"active": True}, "viewport": {"width": 640, "height": 401}},
    }
    batch_id = http.post("/v1/batch-sessions", json={"count": 12, "configuration": places}).json()["data"]["batch_id"]

    def some() -> Any:
        items = http.get(f"/v1/batch-sessions/{batch_id}").json()["data"]["sessions"]
        ready = [one["session_id"] for one in items if one["status"] == "completed"]
        return ready or None

    first = wait_until(some, 60)[0]
    answer = http.patch(f"/v1/batch-sessions/{batch_id}", json={"status": "cancelled"})
    if answer.status_code == 409:
        pytest.skip("all twelve were ready before the first was looked at")
    assert ended(http, first)["end_reason"] == "batch_cancelled"
    assert [colour for _, colour in film(http, first)] == ["blue"]
    http.delete(f"/v1/batch-sessions/{batch_id}")


def test_a_killed_worker_leaves_its_recordings(serving: Installation, http: httpx2.Client) -> None:
    id = begin(http, initial_url=painted("red"))
    time.sleep(0.7)
    go(http, id, "blue")
    for worker in serving.children("worker"):
        worker.send_signal(signal.SIGKILL)
    assert ended(http, id)["end_reason"] == "worker_lost"
    assert [colour for _, colour in film(http, id)] == ["red", "blue"]
    assert not list((serving.data_dir / "recordings").glob("*")), "nothing is left of what it was made of"


def test_pieces_become_one_film(tmp_path: Path) -> None:
    """Of a long session, with a spool that a killed process has left in the middle of a picture."""
    encoder = av.CodecContext.create("mjpeg", "w")
    encoder.width, encoder.height, encoder.pix_fmt, encoder.time_base = 320, 200, "yuvj420p", Fraction(1, 10)
    for number in range(3):
        with (tmp_path / f"{number:06}.spool").open("wb") as spool:
            for at in range(number * 20_000 + 500, number * 20_000 + 3000, 250):
                [packet] = encoder.encode(av.VideoFrame(320, 200, "yuvj420p"))
                video.write(spool, video.Picture(at, 320, 200, bytes(packet)))
            video.write(spool, video.Picture(number * 20_000 + 3500, 320, 200, b""))
            spool.write(b"\xff" * number * 9)
    pieces: list[video.Piece] = []
    for spool in sorted(tmp_path.glob("*.spool")):
        at = video.encode(spool, spool.with_suffix(".mp4"), (640, 400))
        assert at is not None
        pieces.append(video.Piece(spool.with_suffix(".mp4"), at))
    video.join(pieces, tmp_path / "whole.mp4")
    with av.open(str(tmp_path / "whole.mp4")) as whole:
        times = [round(float(frame.time or 0), 2) for frame in whole.decode(video=0)]
        assert (whole.streams.video[0].width, whole.streams.video[0].height) == (640, 400)
    assert len(times) == 33 and times == sorted(set(times)) and (times[0], times[11], times[-1]) == (0, 20.0, 43.0)
    (tmp_path / "empty.spool").write_bytes(b"\0" * 5)
    assert video.encode(tmp_path / "empty.spool", tmp_path / "none.mp4", (640, 400)) is None


_NOISE = """data:text/html,<body style='margin:0;background:rgb(220,30,30)'><canvas width=640 height=120 style='display:none'></canvas><script>
const canvas = document.querySelector('canvas'), to = canvas.getContext('2d'), dots = to.createImageData(640, 120)
setInterval(() => { canvas.style.display = 'block'
  for (let at = 0; at < dots.data.length; at++) dots.data[at] = at % 4 == 3 ? 255 : Math.random() * 255
  to.putImageData(dots, 0, 0) }, 50)</script>"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small disk")
@pytest.mark.parametrize("filled", [False, True], ids=["by recordings", "by others"])
def test_a_full_disk_ends_a_recording_and_not_its_session(serving: Installation, http: httpx2.Client, filled: bool) -> None:
    """What was recorded until then is kept, and says that it is not all."""
    place = serving.data_dir / "recordings"
    place.mkdir(exist_ok=True)
    with small_disk(place, "4m"):
        id = begin(http, initial_url=_NOISE)
        if filled:
            wait_until(lambda: any(spool.stat().st_size > 200_000 for spool in place.rglob("*.spool")))
            with (place / "filler").open("wb") as filler, contextlib.suppress(OSError):
                while True:
                    filler.write(b"x" * 65536)
                    filler.flush()
        told = wait_until(
            lambda: rows(serving, "select data from event where type = 'browser.recording_failed' and session_id = $1", own(id))
        )
        assert "No space left" in str(told[0]["data"])
        assert http.get(f"/v1/sessions/{id}/pages").json()["data"]["count"] == 1, "the session goes on"
        assert end(http, id)["end_reason"] == "api"
        assert [colour for _, colour in film(http, id)] == ["red"]
        [one] = http.get(f"/v1/sessions/{id}/recordings").json()["data"]["items"]
        assert float(one["duration"]) > 0.2 and "No space left" in one["problem"], one
        assert [path.name for path in place.iterdir()] == (["filler"] if filled else [])
