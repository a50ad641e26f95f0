"""The command line's HTTP client. It speaks the same wire format as everybody else."""

import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import httpx2
import orjson
import typer

from passel.cli.output import CommandError

DEFAULT_URL = "http://127.0.0.1:8000"
_TRIES = 6

Url = Annotated[str, typer.Option("--url", envvar="PASSEL_URL", help="The server's URL.")]
Key = Annotated[str, typer.Option("--api-key", envvar="PASSEL_API_KEY", help="An API key of the server.", show_default=False)]


class Client:
    """Raises `CommandError` with the server's `detail`. Calls that may be repeated are, while the server is away."""

    def __init__(self, url: str, key: str) -> None:
        if not key:
            raise CommandError(
                "no API key: set PASSEL_API_KEY to the key that `passel serve` printed, or make one with `passel keys create`"
            )
        if not url.startswith(("http://", "https://")):
            raise CommandError(f"PASSEL_URL must begin with http:// or https://, not {url}")
        self.url = url.rstrip("/")
        self.replayed = False
        self._http = httpx2.Client(
            base_url=self.url, headers={"Authorization": f"Bearer {key}"}, timeout=httpx2.Timeout(60, write=None, read=300)
        )

    def close(self) -> None:
        self._http.close()

    def get(self, path: str, **params: Any) -> Any:
        return self._call("GET", path, repeat=True, params={k: v for k, v in params.items() if v is not None})

    def post(self, path: str, body: Any = None, *, repeat: bool = False) -> Any:
        return self._call("POST", path, repeat=repeat, json=body)

    def delete(self, path: str) -> Any:
        return self._call("DELETE", path, repeat=True)

    def put(self, path: str, body: Any) -> Any:
        return self._call("PUT", path, repeat=True, json=body)

    def upload(self, url: str, data: bytes, headers: dict[str, str]) -> None:
        self._check(self._send(lambda: httpx2.put(url, content=data, headers=headers, timeout=300), repeat=True))

    def post_lines(self, path: str, lines: Any, **params: Any) -> Any:
        """`lines` makes a new iterator of NDJSON lines for each try."""
        given = {k: v for k, v in params.items() if v is not None}
        headers = {"Content-Type": "application/x-ndjson"}
        return self._check(
            self._send(lambda: self._http.post(path, content=lines(), params=given, headers=headers), repeat="idempotency_key" in given)
        )

    @contextmanager
    def lines(self, path: str) -> Generator[Iterator[Any]]:
        """The objects of an NDJSON answer, as they come."""
        with self._http.stream("GET", path) as response:
            if response.status_code >= 400:
                response.read()
                self._check(response)
            yield (orjson.loads(line) for line in response.iter_lines() if line)

    def _call(self, method: str, path: str, *, repeat: bool, **kwargs: Any) -> Any:
        return self._check(self._send(lambda: self._http.request(method, path, **kwargs), repeat=repeat))

    def _send(self, call: Any, *, repeat: bool) -> httpx2.Response:
        for tries in range(_TRIES):
            last = tries == _TRIES - 1
            try:
                response = call()
            except httpx2.ConnectError as error:  # nothing was sent, so any call may be repeated
                if last:
                    raise CommandError(f"no server answers at {self.url}: start one with `passel serve`, or set PASSEL_URL") from error
            except httpx2.HTTPError as error:
                if last or not repeat:
                    raise CommandError(f"the connection to {self.url} broke: {error or type(error).__name__}") from error
            else:
                if response.status_code != 503 or last:
                    return response
            time.sleep(0.2 * 2**tries)
        raise AssertionError("unreachable")

    def _check(self, response: httpx2.Response) -> Any:
        self.replayed = response.headers.get("Idempotency-Replayed") == "true"
        try:
            body = orjson.loads(response.content or b"{}")
        except orjson.JSONDecodeError:
            body = {"detail": response.text[:500]}
        if response.status_code >= 400:
            detail = body.get("detail") if isinstance(body, dict) else None
            raise CommandError(f"{detail or response.text[:500]} (HTTP {response.status_code})")
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
