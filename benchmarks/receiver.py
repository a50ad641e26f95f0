"""A receiver of webhooks that answers at once, in a process of its own; and the bare loop that posts the same bodies.

python -m benchmarks.receiver      prints its URL, counts what comes, tells at GET
"""

import asyncio
import time
from typing import Any

import aiohttp
import orjson
import uvloop

_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class _Protocol(asyncio.Protocol):
    """HTTP/1.1 with `Content-Length` bodies, as much as aiohttp's clients need."""

    ids: dict[str, float] = {}  # noqa: RUF012  # one receiver a process
    sample: bytes = b""

    def connection_made(self, transport: Any) -> None:
        self._transport, self._data = transport, b""

    def data_received(self, data: bytes) -> None:
        self._data += data
        while (at := self._data.find(b"\r\n\r\n")) >= 0:
            head, end = self._data[:at].lower(), at + 4
            length = int(head.split(b"content-length:")[1].split(b"\r\n")[0]) if b"content-length:" in head else 0
            if len(self._data) < end + length:
                return
            body, self._data = self._data[end : end + length], self._data[end + length :]
            if head.startswith(b"get "):
                self._tell()
            else:
                self._take(body)

    def _take(self, body: bytes) -> None:
        if body.startswith(b'{"id"'):
            _Protocol.ids.setdefault(body[7:37].split(b'"')[0].decode(), time.time())
            _Protocol.sample = body
        self._transport.write(_ANSWER)

    def _tell(self) -> None:
        told = orjson.dumps({"ids": _Protocol.ids, "sample": _Protocol.sample.decode()})
        self._transport.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(told) + told)


async def bare_posts(url: str, body: bytes, count: int, concurrency: int) -> float:
    """Posts a second of aiohttp alone."""
    todo = iter(range(count))
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

        async def one_after_the_other() -> None:
            for _ in todo:
                async with session.post(url, data=b"x" + body, headers={"Content-Type": "application/json"}) as response:
                    await response.read()

        started = time.perf_counter()
        await asyncio.gather(*(one_after_the_other() for _ in range(concurrency)))
        return count / (time.perf_counter() - started)


async def main() -> None:
    server = await asyncio.get_running_loop().create_server(_Protocol, "127.0.0.1", 0, backlog=4096)
    print(f"listening http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main())
