"""A receiver of webhooks that answers an agent's external tools. Standard library only.

    export PASSEL_URL=http://127.0.0.1:8000 PASSEL_API_KEY=dari_... PASSEL_WEBHOOK_SECRET=whsec_...
    python examples/webhook_receiver.py                       # listens on http://127.0.0.1:8484/
    passel webhooks set my-agent http://127.0.0.1:8484/       # prints the secret, which goes into the line above

It acknowledges at once and works afterwards, forgets no delivery that it has acknowledged while it runs, and answers no
call twice: what it needs to know of earlier deliveries is their ids.
"""

import hashlib
import hmac
import json
import os
import queue
import threading
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

URL = os.environ.get("PASSEL_URL", "http://127.0.0.1:8000")
KEY = os.environ["PASSEL_API_KEY"]
SECRET = os.environ["PASSEL_WEBHOOK_SECRET"]

calls: "queue.Queue[dict[str, Any]]" = queue.Queue()
seen: set[str] = set()


def get_weather(city: str) -> dict[str, Any]:
    return {"city": city, "forecast": "rain", "celsius": 11}


TOOLS = {"get_weather": get_weather}


def verified(header: str, body: bytes) -> bool:
    wanted = "v1=" + hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
    return any(hmac.compare_digest(wanted.encode(), one.strip().encode()) for one in header.split(","))


class Receiver(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if not verified(self.headers.get("Dari-Webhook-Signature") or "", body):
            self._answer(401)
            return
        delivery = json.loads(body)
        if delivery["id"] not in seen:
            seen.add(delivery["id"])
            if delivery["type"] == "tool.call_requested":
                calls.put(delivery["data"])
            else:
                print(delivery["type"], delivery.get("session_id") or delivery.get("batch_id"), flush=True)
        self._answer(204)

    def _answer(self, status: int) -> None:
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None: ...


def work() -> None:
    while True:
        call = calls.get()
        result, is_error = run(call)
        submit(call, result, is_error)


def run(call: dict[str, Any]) -> tuple[Any, bool]:
    """A failure is a result too: the model decides what to do about it."""
    try:
        return TOOLS[call["tool_name"]](**call["arguments"]), False
    except Exception as error:
        return {"error": f"{type(error).__name__}: {error}"}, True


def submit(call: dict[str, Any], result: Any, is_error: bool) -> None:
    """Answered once: a repeat of the same answer changes nothing, so it is safe to send it again."""
    event = {
        "type": "tool.result_submitted",
        "message_id": call["message_id"],
        "tool_call_id": call["tool_call_id"],
        "is_error": is_error,
        "result": result,
    }
    request = urllib.request.Request(
        f"{URL}/v1/sessions/{call['session_id']}/events",
        json.dumps(event).encode(),
        {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=30) as response:
            print("answered", call["tool_name"], call["tool_call_id"], response.status, flush=True)
    except urllib.error.HTTPError as error:  # 409: it was answered otherwise or timed out; 404: there is no such call
        print("not taken", call["tool_call_id"], error.code, error.read().decode(errors="replace"), flush=True)
    except OSError as error:  # the server is away: again, later
        print("again in a while:", error, flush=True)
        threading.Timer(2, calls.put, (call,)).start()


if __name__ == "__main__":
    threading.Thread(target=work, daemon=True).start()
    port = int(os.environ.get("PORT", "8484"))
    print(f"listening http://127.0.0.1:{port}", flush=True)
    ThreadingHTTPServer(("127.0.0.1", port), Receiver).serve_forever()
