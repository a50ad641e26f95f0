"""Search engines and a web of pages, played over HTTP on loopback: SearXNG, Tavily, Brave and Wikipedia in their wire forms."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit


class Engines:
    """`results` are what every engine finds: dictionaries of url, title and text. `pages` are what lies at paths of this server:
    status, headers, body. `down` engines answer 503, and all do after `lasting` more searches. `asked` is what was asked: engine, query, the key it came with."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.results: list[dict[str, str]] = []
        self.pages: dict[str, tuple[int, dict[str, str], bytes]] = {}
        self.down: set[str] = set()
        self.lasting: int | None = None
        self.asked: list[tuple[str, str, str | None]] = []

    def page(self, path: str, body: str, kind: str = "text/html") -> str:
        self.pages[path] = (200, {"Content-Type": kind}, body.encode())
        return self.url + path

    def answer(self, engine: str, query: str, key: str | None) -> tuple[int, Any]:
        self.asked.append((engine, query, key))
        if engine in self.down or self.lasting == 0:
            return 503, {"error": "down"}
        if self.lasting is not None:
            self.lasting -= 1
        found = self.results
        if engine == "searxng":
            return 200, {"results": [{"url": r["url"], "title": r["title"], "content": r["text"]} for r in found]}
        if engine == "tavily":
            return 200, {"results": [{"url": r["url"], "title": r["title"], "content": r["text"], "score": 0.5} for r in found]}
        if engine == "brave":
            return 200, {"web": {"results": [{"url": r["url"], "title": r["title"], "description": r["text"]} for r in found]}}
        pages = [{"index": n, "title": r["title"], "fullurl": r["url"], "extract": r["text"]} for n, r in enumerate(found, 1)]
        return 200, {"query": {"pages": pages}} if pages else {}


@contextmanager
def played_engines() -> Iterator[Engines]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *args: object) -> None: ...

        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            query = {name: values[0] for name, values in parse_qs(parts.query).items()}
            if parts.path == "/search":
                self._json(*engines.answer("searxng", query["q"], query.get("format")))
            elif parts.path == "/res/v1/web/search":
                self._json(*engines.answer("brave", query["q"], self.headers.get("X-Subscription-Token")))
            elif parts.path == "/w/api.php":
                self._json(*engines.answer("wikipedia", query["gsrsearch"], None))
            else:
                self._send(*engines.pages.get(parts.path, (404, {}, b"")))

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            self._json(*engines.answer("tavily", body["query"], self.headers.get("Authorization")))

        def _json(self, status: int, body: Any) -> None:
            self._send(status, {"Content-Type": "application/json"}, json.dumps(body).encode())

        def _send(self, status: int, headers: dict[str, str], body: bytes) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            with suppress(ConnectionError):  # whoever has read enough leaves
                self.wfile.write(body)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    engines = Engines(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield engines
    finally:
        server.shutdown()
        server.server_close()
