"""What the processes of one installation share: the dependencies, made from the settings."""

import ctypes
import gc
import resource
import signal
import sys
from pathlib import Path

from passel.blobs import BlobStore
from passel.compose import clock
from passel.compose.kinds import KINDS, announced
from passel.compose.settings import Settings
from passel.core.errors import Invalid
from passel.core.ids import IdSource
from passel.services.deps import Deps
from passel.services.vault import Vault
from passel.store.announcing import Announcing
from passel.store.database import Database
from passel.store.postgres import EmbeddedPostgres

_OPEN_FILES = 65536


def prepare_data_dir(settings: Settings) -> None:
    settings.data_dir.mkdir(parents=True, exist_ok=True)


def embedded(settings: Settings) -> EmbeddedPostgres | None:
    """Our own PostgreSQL, unless the settings name another."""
    return None if settings.database_url else EmbeddedPostgres(settings.data_dir / "postgres")


def database_url(settings: Settings) -> str:
    server = embedded(settings)
    return server.url if server else settings.database_url or ""


def open_vault(settings: Settings) -> Vault:
    if settings.secret_key is None:
        prepare_data_dir(settings)
        return Vault.of_directory(Path(settings.data_dir))
    try:
        key = bytes.fromhex(settings.secret_key.get_secret_value())
    except ValueError:
        key = b""
    if len(key) != 32:
        raise Invalid("PASSEL_SECRET_KEY must be 64 hexadecimal digits: `openssl rand -hex 32` makes one", field="PASSEL_SECRET_KEY")
    return Vault(key)


async def open_deps(settings: Settings, *, name: str, connections: int) -> Deps:
    prepare_data_dir(settings)
    ids = IdSource(clock.milliseconds)
    return Deps(
        db=await Database.open(database_url(settings), name=name, connections=connections),
        blobs=BlobStore(settings.blobs),
        clock=clock.now,
        ids=ids,
        vault=open_vault(settings),
        capacity=settings.capacity,
        announcing=Announcing(ids, announced(KINDS)),
        limits=settings.limits,
        allow_private_urls=settings.private_urls_allowed,
        hide_foreign=settings.hide_foreign,
        strict_idempotency=settings.strict_idempotency,
        key_providers=frozenset(settings.server_keys),
        models_dir=settings.models_dir,
        webhook_overlap=settings.webhook_secret_overlap,
        public_url=settings.public_url,
        bare_browser_ids=settings.bare_browser_ids,
        browser_filters=bool(settings.filter_list_paths),
        verification_models=settings.verification_models,
        web_tasks=settings.web_tasks,
    )


_PR_SET_PDEATHSIG = 1


def die_with_parent() -> None:
    """In a child before it runs: a parent that was killed takes it along (Linux; elsewhere it notices or stays)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def hold_collector() -> None:
    """Until `settle_heap`: what start-up makes stays, and looking through it again and again takes a tenth of it."""
    gc.disable()


def settle_heap() -> None:
    """Keep the garbage collector off what start-up has made: a full collection of it stops the loop for 0.2 s."""
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)
    gc.enable()


def raise_file_limit() -> None:
    """Thousands of calls in flight are thousands of sockets."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    # macOS says "no limit" and takes no such number
    wanted = _OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, _OPEN_FILES)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
