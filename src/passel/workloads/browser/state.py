"""The state of a browser as an archive: packed when it has ended, unpacked before it starts.

    profile/...     files of the user data directory, without caches and what belongs to one process
    cookies.json    all cookies, as CDP has them: those of a session are not in the files

The files are those of a browser that pages could have broken, so they are treated as somebody's who means harm: only files of their
own are packed, opened by their names in directories that were opened before; and only such are unpacked, so many and so large, into a
directory that no browser has seen yet.
"""

import contextlib
import gzip
import io
import json
import os
import stat
import tarfile
from collections.abc import Callable, Generator
from pathlib import Path, PurePosixPath
from typing import Any, cast

from passel.core.browser.profiles import Unfit
from passel.workloads.browser.driver import Driver
from passel.workloads.browser.mux import CommandFailed

ARCHIVE, COOKIES = "state.tar.gz", "cookies.json"
_PROFILE = "profile"
_MOST_FILES, _DEEPEST = 20_000, 32
_MOST_COOKIES = 16 * 2**20
_LEFT_OUT = (
    "Cache", "Code Cache", "GPUCache", "GPUPersistentCache", "DawnCache", "DawnGraphiteCache", "DawnWebGPUCache", "ShaderCache",
    "GrShaderCache", "GraphiteDawnCache", "component_crx_cache", "extensions_crx_cache", "Crashpad", "Crash Reports", "BrowserMetrics",
    "Safe Browsing", "Sessions", "Extensions", "DevToolsActivePort", "blob_storage", "optimization_guide_model_store", "segmentation_platform",
    "SingletonLock", "SingletonCookie", "SingletonSocket", "BrowserMetrics-spare.pma", "lockfile", "Secure Preferences",
)  # fmt: skip
_NOT_KEPT = ("extensions", "session", "download", "savefile", "policy", "certificates")
"""Parts of `Preferences` that say what the browser loads and trusts, and where it goes and writes."""

_COOKIE = ("name", "value", "domain", "path", "secure", "httpOnly", "sameSite", "priority", "sourceScheme", "sourcePort", "partitionKey")


def pack(directory: Path, cookies: list[Any], most: int) -> Path:
    """Of a browser that has ended. `most` are the bytes of its files. Raises `Unfit` and `OSError`."""
    target = directory / ARCHIVE
    raw = json.dumps(cookies).encode()
    if len(raw) > _MOST_COOKIES:
        raise Unfit(f"the cookies of a browser may have {_MOST_COOKIES} bytes")
    with contextlib.suppress(FileNotFoundError):
        target.unlink()
    fd = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(fd, "wb") as file, _packing(file) as archive:
        _add(archive, COOKIES, io.BytesIO(raw), len(raw))
        left, count = most, 0
        for place, directories, names, inside in os.fwalk(directory / _PROFILE, follow_symlinks=False):
            directories[:] = sorted(name for name in directories if name not in _LEFT_OUT)
            where = PurePosixPath(_PROFILE) / Path(place).relative_to(directory / _PROFILE)
            if len(where.parts) >= _DEEPEST:
                directories.clear()
                continue
            for name in sorted(names):
                if name in _LEFT_OUT or not name.isprintable():
                    continue
                with _opened(inside, name) as source:
                    if source is None:
                        continue
                    size = os.fstat(source.fileno()).st_size
                    left, count = left - size, count + 1
                    if left < 0 or count > _MOST_FILES:
                        raise Unfit(f"the state of a browser may have {most} bytes and {_MOST_FILES} files")
                    _add(archive, str(where / name), source, size)
    return target


@contextlib.contextmanager
def _packing(file: io.BufferedWriter) -> Generator[tarfile.TarFile]:
    with gzip.GzipFile(fileobj=file, mode="wb", compresslevel=1) as zipped, tarfile.open(fileobj=zipped, mode="w|") as archive:
        yield archive


@contextlib.contextmanager
def _opened(inside: int, name: str) -> Generator["io.BufferedReader | None"]:
    """None for what is no file of its own: a link, a socket."""
    try:
        fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=inside)
    except OSError:
        yield None
        return
    with os.fdopen(fd, "rb") as file:
        found = os.fstat(fd)
        yield file if stat.S_ISREG(found.st_mode) and found.st_nlink == 1 else None


def _add(archive: tarfile.TarFile, name: str, source: Any, size: int) -> None:
    member = tarfile.TarInfo(name)
    member.size, member.mode = size, 0o600
    archive.addfile(member, source)


def unpack(directory: Path, most: int) -> list[Any]:
    """Into a directory that has an archive and no browser yet; the archive goes. Returns cookies. Raises `Unfit`."""
    cookies: list[Any] = []
    left, count = most, 0
    source = directory / ARCHIVE
    try:
        with tarfile.open(source, mode="r|gz") as archive:
            for member in archive:
                left, count = left - member.size, count + 1
                if not member.isreg() or left < -_MOST_COOKIES or count > _MOST_FILES + 1:
                    raise Unfit("the profile is damaged: it has what no profile has")
                content = archive.extractfile(member)
                assert content is not None
                if member.name == COOKIES and member.size <= _MOST_COOKIES:
                    cookies = json.loads(content.read())
                    continue
                _write(directory, _parts(member.name), content.read)
    except (tarfile.TarError, EOFError, OSError, ValueError) as error:
        raise Unfit(f"the profile cannot be read: {error}") from error
    finally:
        source.unlink(missing_ok=True)
    return cookies


def _parts(name: str) -> tuple[str, ...]:
    parts = tuple(name.split("/"))
    if parts[0] != _PROFILE or not 2 <= len(parts) <= _DEEPEST or any(part in ("", ".", "..") or "\0" in part for part in parts):
        raise Unfit("the profile is damaged: a file of it is somewhere else")
    return parts


def _write(directory: Path, parts: tuple[str, ...], read: Callable[[int], bytes]) -> None:
    path = directory.joinpath(*parts)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with path.open("xb") as target:
        while part := read(2**20):
            target.write(part)


def settings_of(directory: Path) -> dict[str, Any]:
    """`Preferences` that were unpacked, without what a browser is not to take over."""
    try:
        found: Any = json.loads((directory / _PROFILE / "Default/Preferences").read_bytes())
    except (OSError, ValueError):
        return {}
    if not isinstance(found, dict):
        return {}
    return {name: value for name, value in cast(dict[str, Any], found).items() if name not in _NOT_KEPT}


def _parameters(cookies: list[Any]) -> list[dict[str, Any]]:
    """As `Storage.setCookies` takes what `Storage.getCookies` gave."""
    found: list[dict[str, Any]] = []
    for cookie in cookies:
        one = {name: cookie[name] for name in _COOKIE if cookie.get(name) is not None}
        if not cookie.get("session", False):
            one["expires"] = cookie["expires"]
        if cookie["name"].startswith("__Host-"):  # a domain is what such a cookie must not have
            one["url"] = f"https://{one.pop('domain')}/"
        found.append(one)
    return found


async def restore(driver: Driver, cookies: list[Any]) -> None:
    """Of those that a browser does not take together, all that it takes."""
    wanted = _parameters(cookies)
    if not wanted:
        return
    try:
        await driver.call("Storage.setCookies", {"cookies": wanted})
    except CommandFailed:
        for one in wanted:
            with contextlib.suppress(CommandFailed):
                await driver.call("Storage.setCookies", {"cookies": [one]})
