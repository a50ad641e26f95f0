"""What a client may ask of its browser over CDP, and what stays away from the machine it runs on (4.6, D31 of the `anchor` contract).

Pure: a command goes in, and comes out as it may be sent, or with the answer that the client gets instead.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any, NamedTuple

UPLOADS = "/uploads/"
"""Where uploaded files are, as clients name them."""

_DOMAINS = frozenset(
    [
        "Accessibility",
        "Animation",
        "Audits",
        "Autofill",
        "BackgroundService",
        "BluetoothEmulation",
        "Browser",
        "CSS",
        "CacheStorage",
        "Console",
        "DOM",
        "DOMDebugger",
        "DOMSnapshot",
        "DOMStorage",
        "Debugger",
        "DeviceOrientation",
        "Emulation",
        "EventBreakpoints",
        "FedCm",
        "Fetch",
        "FileSystem",
        "HeadlessExperimental",
        "HeapProfiler",
        "IO",
        "IndexedDB",
        "Input",
        "Inspector",
        "LayerTree",
        "Log",
        "Media",
        "Memory",
        "Network",
        "Overlay",
        "Page",
        "Performance",
        "PerformanceTimeline",
        "Preload",
        "Profiler",
        "Runtime",
        "Schema",
        "Security",
        "ServiceWorker",
        "Storage",
        "Target",
        "Tracing",
        "WebAudio",
        "WebAuthn",
    ]
)
"""Domains that act inside the browser. What another one does with the machine (Tethering binds ports, Extensions loads directories,
SystemInfo tells of it) is not known to be harmless."""

_REFUSED = {
    "Browser.crash": "it would end the session",
    "Browser.crashGpuProcess": "it would end the session",
    "Browser.executeBrowserCommand": "it acts on the machine",
    "Browser.getBrowserCommandLine": "it tells of the machine",
    "Memory.simulatePressureNotification": "it acts on the machine",
    "Target.exposeDevToolsProtocol": "pages may not drive the browser",
    "Target.openDevTools": "DevTools have rights of their own",
    "Target.sendMessageToTarget": "attach with flatten: true",
    "Target.setRemoteLocations": "it connects to other machines",
}

_LONGEST_NAME = 255  # bytes, of file systems
_SCHEMES = frozenset({"http", "https", "data", "blob"})
_BLANK = frozenset({"about:blank", "about:srcdoc", ""})
_IGNORED_BY_BROWSERS = re.compile(r"[\t\n\r]")
_EDGES = "".join(map(chr, range(0x21)))
_SCHEME = re.compile(r"([a-zA-Z][a-zA-Z0-9+.\-]*):")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a session's files are on its machine; `extensions` are the ids of those that it has loaded."""

    downloads: str
    uploads: str
    extensions: frozenset[str] = field(default_factory=frozenset[str])


class Send(NamedTuple):
    """The command, as it may be sent."""

    params: Any


class Refuse(NamedTuple):
    """An error, in the shape of JSON-RPC."""

    message: str


class Leave(NamedTuple):
    """`Browser.close`: this client goes, the session stays."""


Verdict = Send | Refuse | Leave


def judge(method: str, params: Any, place: Place) -> Verdict:
    """What becomes of a client's command."""
    if method == "Browser.close":
        return Leave()
    if (why := _REFUSED.get(method)) is not None:
        return Refuse(f"{method} is not allowed here: {why}")
    if method.partition(".")[0] not in _DOMAINS:
        return Refuse(f"{method} is not allowed here")
    if params is None or not isinstance(params, Mapping):
        return Send(params)
    match method:
        case "Page.navigate" | "Target.createTarget" | "Fetch.continueRequest" | "Network.loadNetworkResource":
            return _with_url(method, params, place)
        case "Browser.setDownloadBehavior" | "Page.setDownloadBehavior":
            return Send({**params, "downloadPath": place.downloads} if "downloadPath" in params else params)
        case "DOM.setFileInputFiles":
            return _with_files(params, "files", place)
        case "Input.dispatchDragEvent" if isinstance(data := params.get("data"), Mapping) and data.get("files"):
            made = _with_files(data, "files", place)
            return Send({**params, "data": made.params}) if isinstance(made, Send) else made
        case "Target.createBrowserContext":
            return Send({name: value for name, value in params.items() if name not in ("proxyServer", "proxyBypassList")})
        case "Target.attachToTarget" | "Target.setAutoAttach":
            return Send({**params, "flatten": True})
        case "Tracing.start" if params.get("tracingBackend") == "system":
            return Refuse("Tracing.start: the system's own tracing is not allowed here")
        case _:
            return Send(params)


def url_problem(url: Any, extensions: frozenset[str] = frozenset()) -> str | None:
    """Why a session may not go to an address; None when it may. Read as a browser reads it: blanks at its ends and line breaks do not
    count, nor does the case of its scheme."""
    if not isinstance(url, str):
        return None  # the browser says what is wrong with it
    plain = _IGNORED_BY_BROWSERS.sub("", url.strip(_EDGES))
    if plain.lower() in _BLANK or plain.lower().startswith(("about:blank#", "about:blank?")):
        return None
    found = _SCHEME.match(plain)
    if found is None:
        return None  # no address: the browser refuses it
    scheme = found[1].lower()
    if scheme in _SCHEMES:
        return None
    if scheme == "chrome-extension" and plain[found.end() :].lstrip("/").partition("/")[0] in extensions:
        return None
    return f"{scheme}: addresses are not allowed here; http, https, data, blob and about:blank are"


def _with_url(method: str, params: Mapping[str, Any], place: Place) -> Verdict:
    problem = url_problem(params.get("url"), place.extensions)
    return Send(params) if problem is None else Refuse(f"{method}: {problem}")


def _with_files(params: Mapping[str, Any], name: str, place: Place) -> Send | Refuse:
    paths: list[str] = []
    for path in params.get(name) or []:
        inside = _uploaded(path)
        if inside is None:
            return Refuse(f"{name}: {path} is no uploaded file; upload it first and name it {UPLOADS}<name>")
        paths.append(f"{place.uploads}/{inside}")
    return Send({**params, name: paths})


def _uploaded(path: Any) -> str | None:
    """The name of an uploaded file; None for anything else."""
    if not isinstance(path, str) or not path.startswith(UPLOADS):
        return None
    name = path.removeprefix(UPLOADS)
    return name if is_file_name(name) else None


def is_file_name(name: str) -> bool:
    """Whether it can only be that of a file in the directory where it is looked for."""
    fits = 0 < len(name.encode()) <= _LONGEST_NAME
    return fits and name == PurePosixPath(name).name and name not in (".", "..") and "\0" not in name
