"""The command line's HTTP client. It speaks the same wire format as everybody else."""

import time
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO, NamedTuple

import orjson
import typer

from passel.cli.output import CommandError

if TYPE_CHECKING:
    import httpx2

DEFAULT_URL = "http://127.0.0.1:8000"
_TRIES = 6
_SILENT_SECONDS = 60.0  # a stream that says nothing for so long, not even that it lives, is broken
_AWAY = (502, 503, 504)  # the database is away, or whatever stands before the API finds none

Url = Annotated[str, typer.Option("--url", envvar="PASSEL_URL", help="The server's URL.")]
Key = Annotated[str, typer.Option("--api-key", envvar="PASSEL_API_KEY", help="An API key of the server.", show_default=False)]


class Away(CommandError):
    """No answer, for now: the server is not there, breaks off, or says 503. The same call may work later."""


class Refused(CommandError):
    """The server does not take what it was asked; `status` is that of HTTP."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class StreamEvent(NamedTuple):
    """What a stream tells. One without `data` is a sign of life; its `id`, if it has one, says how far the stream has come."""

    id: str | None
    data: Any


class Client:
    """Raises `CommandError` with the server's `detail`, and `Away` after some seconds in which there was no answer.

    Calls that may be repeated are repeated in these seconds; `tries=1` asks once, for callers with a patience of
    their own. `headers` go with each request.
    """

    def __init__(self, url: str, key: str, headers: Mapping[str, str] | None = None) -> None:
        import httpx2

        if not key:
            raise CommandError(
                "no API key: set PASSEL_API_KEY to the key that `passel serve` printed, or make one with `passel keys create`"
            )
        if not url.startswith(("http://", "https://")):
            raise CommandError(f"PASSEL_URL must begin with http:// or https://, not {url}")
        if not key.isascii() or not key.isprintable():
            raise CommandError("PASSEL_API_KEY holds characters that no key has: copy it again")
        self.url = url.rstrip("/")
        self.replayed = False
        self._http = httpx2.Client(
            base_url=self.url,
            headers={"Authorization": f"Bearer {key}", **(headers or {})},
            timeout=httpx2.Timeout(60, write=None, read=300),
        )

    def close(self) -> None:
        self._http.close()

    def get(self, path: str, /, *, tries: int = _TRIES, timeout: float | None = None, **params: Any) -> Any:
        given = {k: v for k, v in params.items() if v is not None}
        limits: dict[str, Any] = {"timeout": timeout} if timeout else {}
        return self._check(self._send(lambda: self._http.get(path, params=given, **limits), repeat=True, tries=tries))

    def post(self, path: str, body: Any = None, *, repeat: bool = False) -> Any:
        return self._check(self._send(lambda: self._http.post(path, json=body), repeat=repeat))

    def delete(self, path: str) -> Any:
        return self._check(self._send(lambda: self._http.delete(path), repeat=True))

    def patch(self, path: str, body: Any) -> Any:
        return self._check(self._send(lambda: self._http.patch(path, json=body), repeat=False))

    def save(self, path: str, to: Path) -> int:
        """Writes what is answered into a file, and returns how many bytes that is. There is no half of a file."""
        part = to.with_name(f".{to.name}.part")
        try:
            with self._broken_is_away(), self._http.stream("GET", path) as response:
                if response.status_code >= 400:
                    response.read()
                    self._check(response)
                with part.open("wb") as file:
                    for data in response.iter_bytes():
                        file.write(data)
            part.replace(to)
        except OSError as error:
            raise CommandError(f"{to} cannot be written: {error}") from error
        finally:
            part.unlink(missing_ok=True)
        return to.stat().st_size

    def put(self, path: str, body: Any) -> Any:
        return self._check(self._send(lambda: self._http.put(path, json=body), repeat=True))

    def upload(self, url: str, data: bytes, headers: dict[str, str]) -> None:
        import httpx2

        self._check(self._send(lambda: httpx2.put(url, content=data, headers=headers, timeout=300), repeat=True))

    def post_lines(self, path: str, lines: Callable[[], Iterator[bytes]], **params: Any) -> Any:
        """`lines` makes a new iterator of NDJSON lines for each try."""
        given = {k: v for k, v in params.items() if v is not None}
        headers = {"Content-Type": "application/x-ndjson"}
        return self._check(
            self._send(lambda: self._http.post(path, content=lines(), params=given, headers=headers), repeat="idempotency_key" in given)
        )

    def post_file(self, path: Path) -> Any:
        """A repeat makes a second file that nobody names, which harms nobody."""

        def send() -> "httpx2.Response":
            with path.open("rb") as file:
                return self._http.post("/v1/files", files={"file": (path.name, file)})

        return self._check(self._send(send, repeat=True))

    def post_open_file(self, url_path: str, name: str, source: BinaryIO) -> Any:
        """One that may be large, read as it is sent. A repeat would be a second file."""
        return self._check(self._send(lambda: self._http.post(url_path, files={"file": (name, source)}), repeat=False))

    def post_csv(self, url_path: str, name: str, data: bytes) -> Any:
        """A part of a file, which a repeat does not load a second time."""
        return self._check(self._send(lambda: self._http.post(url_path, files={"file": (name, data)}), repeat=True))

    def post_form(self, url_path: str, name: str, data: bytes, fields: dict[str, str]) -> Any:
        """A file with fields beside it. A request whose answer was lost is not repeated: it would make another."""
        return self._check(self._send(lambda: self._http.post(url_path, files={"file": (name, data)}, data=fields), repeat=False))

    @contextmanager
    def lines(self, path: str) -> Generator[Iterator[Any]]:
        """The objects of an NDJSON answer, as they come. Raises `Away` also in the middle."""
        with self._broken_is_away(), self._http.stream("GET", path) as response:
            if response.status_code >= 400:
                response.read()
                self._check(response)
            yield (orjson.loads(line) for line in _lines(response.iter_bytes()))

    @contextmanager
    def events(self, path: str, last_id: str | None = None, **params: Any) -> Generator[Iterator["StreamEvent"] | None]:
        """What a stream tells, as it comes, from behind `last_id`; None when there will never be more. It ends when the server
        does: come back with the last id. Raises `Away` also in the middle."""
        headers = {"Last-Event-ID": last_id} if last_id else {}
        params = {name: value for name, value in params.items() if value is not None}
        limits: Any = (10.0, _SILENT_SECONDS, 10.0, 10.0)  # connect, read, write, pool
        with self._broken_is_away(), self._http.stream("GET", path, params=params, headers=headers, timeout=limits) as response:
            if response.status_code >= 400:
                response.read()
                self._check(response)
            yield None if response.status_code == 204 else _events(response.iter_bytes())

    @contextmanager
    def _broken_is_away(self) -> Generator[None]:
        import httpx2

        try:
            yield
        except httpx2.ConnectError as error:  # nothing was sent
            raise Away(f"no server answers at {self.url}: start one with `passel serve`, or set PASSEL_URL") from error
        except httpx2.HTTPError as error:
            raise Away(f"the connection to {self.url} broke: {error or type(error).__name__}") from error

    def _send(self, call: Callable[[], "httpx2.Response"], *, repeat: bool, tries: int = _TRIES) -> "httpx2.Response":
        import httpx2

        for number in range(1, tries + 1):
            try:
                with self._broken_is_away():
                    response = call()
            except Away as error:
                # what was never sent may be sent again
                may_repeat = repeat or isinstance(error.__cause__, httpx2.ConnectError)
                if number == tries or not may_repeat:
                    raise
            else:
                if response.status_code not in _AWAY or number == tries:
                    return response
            time.sleep(0.1 * 2**number)
        raise AssertionError("unreachable")

    def _check(self, response: "httpx2.Response") -> Any:
        self.replayed = response.headers.get("Idempotency-Replayed") == "true"
        try:
            body = orjson.loads(response.content or b"{}")
        except orjson.JSONDecodeError:
            body = {"detail": response.text[:500]}
        if response.status_code >= 400:
            detail = _said(body) if isinstance(body, dict) else None
            said = f"{detail or response.text[:500]} (HTTP {response.status_code})"
            raise Away(said) if response.status_code in _AWAY else Refused(said, response.status_code)
        return body

    def find_agent(self, name_or_id: str) -> Any:
        if name_or_id.startswith("agt_"):
            return self.get(f"/v1/agents/{name_or_id}")
        agents = self.get("/v1/agents")["agents"]
        for agent in agents:
            if agent["name"] == name_or_id:
                return agent
        known = ", ".join(agent["name"] for agent in agents) or "none: deploy one with `passel deploy DIR`"
        raise CommandError(f"there is no agent named {name_or_id}; there are {known}")


def _said(body: Any) -> str | None:
    """What went wrong, in the form of either face."""
    error = body.get("error")
    return body.get("detail") or (error.get("message") if isinstance(error, dict) else None)


def _events(chunks: Iterator[bytes]) -> Iterator[StreamEvent]:
    id, data = None, None
    for line in _lines(chunks, empty=True):
        if line.startswith(b"id: "):
            id = line[4:].decode()
        elif line.startswith(b"data: "):
            data = orjson.loads(line[6:])
        elif line.startswith(b":"):
            yield StreamEvent(None, None)
        elif not line and id is not None:
            yield StreamEvent(id, data)
            id, data = None, None


def _lines(chunks: Iterator[bytes], *, empty: bool = False) -> Iterator[bytes]:
    """Lines end at a newline only: `iter_lines` of HTTP clients also ends them at characters that JSON may hold as they are."""
    rest = b""
    for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        yield from (line for line in lines if line or empty)
    if rest:
        yield rest
