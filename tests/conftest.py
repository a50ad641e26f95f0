"""Fixtures: real parts only. One embedded PostgreSQL for store tests, one installation for tests over HTTP."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import asyncpg
import httpx2
import pytest
from playwright.sync_api import Playwright, sync_playwright

from passel.store.database import Database
from passel.store.postgres import EmbeddedPostgres
from passel.store.schema import migrate
from tests.support.installation import KEY, Installation, PlayedModel, installed, played_model, scratch_dir

_LONGEST = (
    "killed_at_every_event",
    "kinds",
    "processes",
    "chaos",
    "tool_chaos",
    "browsers",
    "browser_tasks",
    "browser_kills",
    "browser_endings",
    "browser_isolation",
    "verification_models",
    "bad_input",
    "local_model",
    "cli_serve",
    "streams",
    "check_files",
    "cli_watch",
    "histories",
    "postgres_account",
    "browser_extensions",
    "browser_control",
    "browser_recordings",
    "browser_profiles",
    "browser_clients",
    "browser_proxies",
    "browser_capacity",
    "webhooks_served",
    "tool_method",
    "lock_order",
    "hosted_models",
    "cli_tasks",
    "facts",
)
"""Files that take longest. They come first, so that the processes which share the tests end at about the same time."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    ranks = {f"test_{name}": rank for rank, name in enumerate(_LONGEST)}
    items.sort(key=lambda item: ranks.get(item.path.stem, len(ranks)))


@pytest.fixture(scope="session")
def postgres() -> Iterator[EmbeddedPostgres]:
    with scratch_dir() as directory:
        server = EmbeddedPostgres(directory / "pg")
        server.start()
        asyncio.run(migrate(server.url))
        yield server
        server.stop()


@pytest.fixture
def with_db(postgres: EmbeddedPostgres, request: pytest.FixtureRequest) -> Callable[[Callable[[Database], Awaitable[Any]]], Any]:
    """Runs an async scenario on an empty database of its own, copied from a migrated one."""
    name = f"test_{abs(hash(request.node.nodeid))}"

    def run(scenario: Callable[[Database], Awaitable[Any]]) -> Any:
        async def go() -> Any:
            admin = await asyncpg.connect(postgres.url.replace("/postgres?", "/template1?"))
            await admin.execute(f"drop database if exists {name} with (force)")
            await admin.execute(f"create database {name} template postgres")
            db = await Database.open(postgres.url.replace("/postgres?", f"/{name}?"), name="test", connections=8)
            try:
                return await scenario(db)
            finally:
                await db.close()
                await admin.execute(f"drop database {name} with (force)")
                await admin.close()

        return asyncio.run(go())

    return run


@pytest.fixture(scope="session")
def model() -> Iterator[PlayedModel]:
    with played_model() as played:
        yield played


@pytest.fixture(scope="session")
def passel() -> Iterator[Installation]:
    """One installation that many tests share; those that break things start their own."""
    settings = {
        "PASSEL_MODEL_TIMEOUT": "3",
        "PASSEL_MODEL_TRIES": "2",
        "PASSEL_MODEL_PATIENCE": "20",
        "PASSEL_MAX_BATCH_ITEMS": "200",
        "PASSEL_STREAM_HEARTBEAT": "0.5",
    }
    with installed(1, settings) as installation:
        yield installation


@pytest.fixture(scope="session")
def agent(passel: Installation, model: PlayedModel, tmp_path_factory: pytest.TempPathFactory) -> str:
    rules = [
        "echo",
        "count",
        "wait-0.3",
        "status-400",
        "status-500",
        "flaky-1-503",
        "garbage",
        "empty",
        "close",
        "cut",
        "hang",
        "nul",
        "odd",
        "wait-30",
    ]
    return passel.deploy(model.url, rules, directory=Path(tmp_path_factory.mktemp("agent")))


@pytest.fixture(scope="session")
def browsing() -> Iterator[Installation]:
    """One that files of tests share, whose browsers may reach this machine's other servers: the pages of the tests."""
    with installed(1, {"PASSEL_ALLOW_PRIVATE_URLS": "1"}) as installation:
        yield installation


@pytest.fixture(scope="module")
def shared_browsing(browsing: Installation) -> Iterator[Installation]:
    """The same for one file, which leaves no session behind."""
    yield browsing
    with httpx2.Client(base_url=browsing.url, headers={"anchor-api-key": KEY}, timeout=90) as client:
        client.delete("/v1/sessions/all").raise_for_status()


@pytest.fixture(scope="module")
def http(serving: Installation) -> Iterator[httpx2.Client]:
    """Of the wire format that browser sessions have, for the installation that a file of tests calls `serving`."""
    with httpx2.Client(base_url=serving.url, headers={"anchor-api-key": KEY}, timeout=90) as client:
        yield client


@pytest.fixture
def playwright() -> Iterator[Playwright]:
    """Its loop runs as long as the test: others that are run in this thread, by the vendor's client too, have to wait."""
    with sync_playwright() as playing:
        yield playing
