"""The receiver of `passel webhooks listen`: an HTTP server on loopback that verifies and prints."""

import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import orjson

from passel.cli.output import json_line, note, one_line
from passel.faces.dari.signatures import SIGNATURE, verify

_MOST_BYTES = 64 * 1024 * 1024


def serve(port: int, secret: str | None, status: int, json_output: bool) -> None:
    """Until Ctrl-C. Raises `OSError` when the port is taken."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            raw = self.rfile.read(min(int(self.headers.get("Content-Length") or 0), _MOST_BYTES))
            good = None if secret is None else verify(secret, self.headers.get(SIGNATURE) or "", raw)
            _print(raw, good, json_output)
            self.send_response(status if good is not False else 401)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", port), Handler) as server:
        url = f"http://127.0.0.1:{server.server_address[1]}"
        note(f"listening {url}" if secret else f"listening {url}; signatures are not verified, since no --secret was given")
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            note("stopped")


def _print(raw: bytes, good: bool | None, json_output: bool) -> None:
    try:
        body = orjson.loads(raw)
    except orjson.JSONDecodeError:
        body = raw.decode(errors="replace")
    if json_output:
        print(json_line({"verified": good, "body": body}), flush=True)
        return
    signed = {True: "verified", False: "BAD SIGNATURE", None: "not verified"}[good]
    print(f"{time.strftime('%H:%M:%S')}  {signed}  {one_line(_gist(body))}", flush=True)


def _gist(body: Any) -> str:
    if not isinstance(body, dict) or not isinstance(body.get("data"), dict):
        return str(body)[:200]
    scope = body.get("session_id") or body.get("batch_id")
    said = {name: body["data"].get(name) for name in ("tool_name", "arguments", "status", "error", "counts") if body["data"].get(name)}
    return f"{body.get('type')}  {scope} #{body.get('sequence')}  {body.get('id')}  {orjson.dumps(said).decode()}"
