"""A worker that answers an agent's external tools, from the stream of events. Standard library only.

    export PASSEL_URL=http://127.0.0.1:8000 PASSEL_API_KEY=dari_...
    python examples/tool_worker.py

It may be killed and started again at any time: it opens the stream, looks up the calls that wait already, and goes on with
those that the stream tells of. A call may be seen twice, and is answered once: the same answer again changes nothing.
`passel tools serve` does the same for any Python function.
"""

import http.client
import json
import os
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

URL = os.environ.get("PASSEL_URL", "http://127.0.0.1:8000")
HEADERS = {"Authorization": f"Bearer {os.environ['PASSEL_API_KEY']}"}
BROKEN = (OSError, http.client.HTTPException)  # also in the middle of what the server was saying


def get_weather(city: str) -> dict[str, Any]:
    return {"city": city, "forecast": "rain", "celsius": 11}


TOOLS = {"get_weather": get_weather}


def request(path: str, body: Any = None, **headers: str) -> Any:
    """Of calls that may be repeated: as often as it takes until the server is there."""
    while True:
        try:
            data = None if body is None else json.dumps(body).encode()
            made = urllib.request.Request(URL + path, data, {**HEADERS, "Content-Type": "application/json", **headers})
            return urllib.request.urlopen(made, timeout=60)
        except urllib.error.HTTPError as error:
            if error.code not in (502, 503, 504):
                raise
        except BROKEN:
            pass
        time.sleep(2)


def stream(last: str | None) -> Iterator[tuple[str, Any]]:
    """Ids, and with most of them an event. One without says where the stream begins, or how far it has come."""
    headers = {"Last-Event-ID": last} if last else {}
    with request("/v1/events/stream?type=tool.call_requested", **headers) as lines:
        id = event = None
        for line in lines:
            if line.startswith(b"id: "):
                id = line[4:].strip().decode()
            elif line.startswith(b"data: "):
                event = json.loads(line[6:])
            elif line == b"\n" and id:
                yield id, event
                id = event = None


def waiting() -> Iterator[Any]:
    after = ""
    while after is not None:
        query = urllib.parse.urlencode({"tool_name": list(TOOLS), **({"after": after} if after else {})}, doseq=True)
        with request(f"/v1/tool-calls?{query}") as answer:
            page = json.load(answer)
        yield from page["tool_calls"]
        after = page["next_after"]


def work(call: dict[str, Any]) -> None:
    try:
        result, is_error = TOOLS[call["tool_name"]](**call["arguments"]), False
    except Exception as error:  # a failure is a result too: the model decides what to do about it
        result, is_error = {"error": f"{type(error).__name__}: {error}"}, True
    answer = {
        "type": "tool.result_submitted",
        "message_id": call["message_id"],
        "tool_call_id": call["tool_call_id"],
        "is_error": is_error,
        "result": result,
    }
    try:
        with request(f"/v1/sessions/{call['session_id']}/events", answer):
            print("answered", call["tool_name"], call["tool_call_id"], flush=True)
    except urllib.error.HTTPError as error:  # 409: it was answered otherwise or timed out; 404: there is no such call
        print("not taken", call["tool_call_id"], error.code, error.read().decode(errors="replace"), flush=True)


def main() -> None:
    last, seen = None, set[str]()
    with ThreadPoolExecutor(8) as pool:

        def take(call: dict[str, Any]) -> None:
            if call["tool_name"] in TOOLS and call["tool_call_id"] not in seen:
                seen.add(call["tool_call_id"])
                pool.submit(work, call)

        while True:
            try:
                for id, event in stream(last):
                    if last is None:  # the stream is open: nothing falls between it and what waits already
                        for call in waiting():
                            take(call)
                        print("ready", flush=True)
                    if event is not None:
                        take(event | event["data"])
                    last = id
            except urllib.error.HTTPError:
                raise
            except BROKEN as error:
                print("again in a while:", error, flush=True)
                time.sleep(2)


if __name__ == "__main__":
    main()
