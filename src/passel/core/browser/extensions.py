"""What an extension may be that a session loads (2.10 of the `anchor` contract): its manifest, read and judged, and how it is loaded.

An extension has rights that no page and no CDP client has. So what it may ask for is a list: what is not known to stay inside of the
browser, behind its way out and away from files, is refused when it is uploaded.
"""

import base64
import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, cast

from passel.core.ids import OrgId

MANIFEST = "manifest.json"
LARGEST_MANIFEST = 1024 * 1024

_PERMISSIONS = frozenset(
    [
        "activeTab",
        "alarms",
        "bookmarks",
        "browsingData",
        "clipboardRead",
        "clipboardWrite",
        "contextMenus",
        "cookies",
        "declarativeContent",
        "declarativeNetRequest",
        "declarativeNetRequestFeedback",
        "declarativeNetRequestWithHostAccess",
        "downloads",
        "favicon",
        "history",
        "idle",
        "notifications",
        "offscreen",
        "readingList",
        "scripting",
        "search",
        "sessions",
        "sidePanel",
        "storage",
        "tabGroups",
        "tabs",
        "topSites",
        "unlimitedStorage",
        "webNavigation",
        "webRequest",
        "webRequestAuthProvider",
    ]
)
_WHY_NOT = {
    "proxy": "it would lead the browser round the way out of its session",
    "vpnProvider": "it would lead the browser round the way out of its session",
    "dns": "it looks up names round the way out of its session",
    "debugger": "it would drive the browser without the limits that CDP clients have; drive the session over its cdp_url",
    "nativeMessaging": "it talks to programs of the server",
    "privacy": "it switches off what keeps the browser behind its way out",
    "management": "it acts on other extensions",
    "contentSettings": "it changes what all pages may do",
    "downloads.open": "it opens files on the server",
    "downloads.shelf": "there is no window that has a shelf",
    "desktopCapture": "this server has no desktop",
    "tabCapture": "this server has no window; sessions are recorded (session.recording)",
    "pageCapture": "it saves pages that it has no host permission for",
    "userScripts": "it runs code that is not in the package",
    "gcm": "it keeps connections to a messaging service",
    "identity": "it is for accounts that this browser has none of",
    "webAuthenticationProxy": "it is for a remote desktop",
}
_TELLS_OF_THE_MACHINE = re.compile(
    r"system\.|processes$|fileSystem|usb|hid$|serial|bluetooth|printer|printing|documentScan|power$|enterprise\.|platformKeys"
)

_KEYS = frozenset(
    [
        "action",
        "author",
        "background",
        "commands",
        "content_scripts",
        "content_security_policy",
        "cross_origin_embedder_policy",
        "cross_origin_opener_policy",
        "declarative_net_request",
        "default_locale",
        "description",
        "devtools_page",
        "externally_connectable",
        "homepage_url",
        "host_permissions",
        "icons",
        "incognito",
        "manifest_version",
        "minimum_chrome_version",
        "name",
        "offline_enabled",
        "omnibox",
        "optional_host_permissions",
        "optional_permissions",
        "options_page",
        "options_ui",
        "permissions",
        "requirements",
        "sandbox",
        "short_name",
        "side_panel",
        "storage",
        "version",
        "version_name",
        "web_accessible_resources",
    ]
)
"""What is loaded of a manifest. `key` is ours, so that nobody takes the name, and the rights, of an extension that Chromium knows."""
_REFUSED_KEYS = {
    "app": "it is a Chrome app, which opens sockets of its own",
    "sockets": "it opens sockets of its own",
    "bluetooth": "it acts on the machine",
    "usb_printers": "it acts on the machine",
    "nacl_modules": "it brings programs",
    "chrome_settings_overrides": "it changes where the browser goes by itself",
    "chrome_url_overrides": "it takes the place of the browser's own pages",
    "file_browser_handlers": "it acts on files of the server",
    "file_system_provider_capabilities": "it acts on files of the server",
    "input_components": "it reads what is typed",
}
_HOSTS = re.compile(r"<all_urls>|(\*|https?|wss?)://[^\s]+")
_VERSION = re.compile(r"\d{1,5}(\.\d{1,5}){0,3}")


class Extensions(Protocol):
    async def fetch(self, org_id: OrgId, id: str, into: Path) -> bool:
        """Its package, as a file. False for one that is not there, or another organisation's."""
        ...


@dataclass(frozen=True, slots=True)
class Manifest:
    """`permissions` are those that it has at once and that it may ask for, hosts too."""

    name: str
    version: str
    description: str | None
    permissions: tuple[str, ...]


def judge(given: Any) -> Manifest:
    """Raises `ValueError` that names the key or the permission, and says why it is refused."""
    if not isinstance(given, Mapping):
        raise ValueError("must be a JSON object")
    manifest = cast(Mapping[str, Any], given)
    if manifest.get("manifest_version") != 3 or isinstance(manifest["manifest_version"], bool):
        raise ValueError("manifest_version: must be 3; Chromium loads no others")
    for key, why in _REFUSED_KEYS.items():
        if key in manifest:
            raise ValueError(f"{key}: is not allowed here: {why}")
    asked = [*_texts(manifest, "permissions"), *_texts(manifest, "optional_permissions")]
    for permission in asked:
        if (why := problem_of(permission)) is not None:
            raise ValueError(f"the permission {permission} is not allowed here: {why}")
    hosts = [*_texts(manifest, "host_permissions"), *_texts(manifest, "optional_host_permissions")]
    _require_hosts(hosts, "host_permissions")
    for script in _objects(manifest, "content_scripts"):
        _require_hosts(_texts(script, "matches"), "content_scripts.matches")
    description = manifest.get("description")
    return Manifest(
        _text(manifest, "name", 255),
        _version(manifest),
        description[:1000] if isinstance(description, str) else None,
        tuple(dict.fromkeys([*asked, *hosts])),
    )


def problem_of(permission: str) -> str | None:
    """Why an extension may not have it; None where it may."""
    if permission in _PERMISSIONS:
        return None
    if permission in _WHY_NOT:
        return _WHY_NOT[permission]
    if "://" in permission or permission == "<all_urls>":
        return "hosts belong into host_permissions"
    if _TELLS_OF_THE_MACHINE.match(permission):
        return "it acts on the machine, or tells of it"
    return f"it is none that is known to stay inside of the browser: {', '.join(sorted(_PERMISSIONS))} are"


def _require_hosts(hosts: Iterable[str], key: str) -> None:
    for host in hosts:
        if not _HOSTS.fullmatch(host):
            raise ValueError(f"{key}: {host[:200]} is not allowed here: only <all_urls>, http, https, ws and wss are")


def _text(manifest: Mapping[str, Any], key: str, longest: int) -> str:
    value = manifest.get(key)
    if not isinstance(value, str) or not 0 < len(value) <= longest:
        raise ValueError(f"{key}: must be a text of 1 to {longest} characters")
    return value


def _version(manifest: Mapping[str, Any]) -> str:
    value = manifest.get("version")
    if not isinstance(value, str) or not _VERSION.fullmatch(value):
        raise ValueError("version: must be one to four numbers with dots between them")
    return value


def _texts(manifest: Mapping[str, Any], key: str) -> list[str]:
    value = manifest.get(key, [])
    if not isinstance(value, list) or not all(isinstance(one, str) for one in cast(list[Any], value)):
        raise ValueError(f"{key}: must be a list of texts")
    return cast(list[str], value)


def _objects(manifest: Mapping[str, Any], key: str) -> list[Mapping[str, Any]]:
    value = manifest.get(key, [])
    if not isinstance(value, list) or not all(isinstance(one, Mapping) for one in cast(list[Any], value)):
        raise ValueError(f"{key}: must be a list of objects")
    return cast(list[Mapping[str, Any]], value)


def as_loaded(given: Mapping[str, Any], id: str) -> dict[str, Any]:
    """A manifest as Chromium gets it: without what nobody looked at, and with a key of its own."""
    return {key: value for key, value in given.items() if key in _KEYS} | {"key": base64.b64encode(_key(id)).decode()}


def chromium_id(id: str) -> str:
    """That an extension of ours has in Chromium, in each session the same."""
    return _hashed(_key(id))


def chromium_id_of(path: str) -> str:
    """That one without a key has, by where it lies."""
    return _hashed(path.encode())


def _key(id: str) -> bytes:
    return hashlib.sha256(f"passel/{id}".encode()).digest()


def _hashed(data: bytes) -> str:
    """The first 128 bits of the digest, in the letters a to p (components/crx_file/id_util)."""
    return "".join(chr(ord("a") + int(digit, 16)) for digit in hashlib.sha256(data).hexdigest()[:32])
