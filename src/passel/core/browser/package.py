"""Packages of extensions: zip files of strangers, looked at before anything is unpacked."""

import json
import stat
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, NamedTuple

from passel.core.browser.extensions import LARGEST_MANIFEST, MANIFEST

MOST_FILES, MOST_BYTES = 10_000, 256 * 1024 * 1024
"""Of what comes out of one."""
_DEEPEST, _LONGEST = 20, 200
_PART = 1024 * 1024
_NOT_TAKEN = ("__MACOSX", "_metadata")
_OF_CHROMIUM = ("_locales",)
_ENTRY = b"PK\x01\x02"


class BadPackage(Exception):
    """The message says what is wrong, and where."""


class Member(NamedTuple):
    """A file of a package, by the parts of its path."""

    info: zipfile.ZipInfo
    parts: tuple[str, ...]


def read_manifest(file: IO[bytes]) -> Any:
    """Of a package whose every entry was looked at. Raises `BadPackage`."""
    if _entries(file) > 2 * MOST_FILES:  # which reading its directory would hold in memory
        raise BadPackage(f"it has more than {MOST_FILES} files")
    try:
        with zipfile.ZipFile(file) as package:
            found = {member.parts: member.info for member in members(package)}
            if (MANIFEST,) not in found:
                raise BadPackage(f"there is no {MANIFEST} at its top: pack what is in the extension's directory, not the directory")
            with package.open(found[(MANIFEST,)]) as source:
                raw = source.read(LARGEST_MANIFEST + 1)
    except (zipfile.BadZipFile, NotImplementedError, EOFError, OSError, RuntimeError, ValueError) as error:
        raise BadPackage(f"is no zip file that can be read: {error}") from error
    if len(raw) > LARGEST_MANIFEST:
        raise BadPackage(f"{MANIFEST} is larger than {LARGEST_MANIFEST} bytes")
    try:
        return json.loads(raw.decode("utf-8-sig"))
    except ValueError as error:
        raise BadPackage(f"{MANIFEST} is no JSON: {error}") from error


def _entries(file: IO[bytes]) -> int:
    """How many its directory may have at most, wherever that is said to be."""
    found, last = 0, b""
    file.seek(0)
    while part := file.read(_PART):
        found += (last + part).count(_ENTRY)
        last = part[1 - len(_ENTRY) :]
    file.seek(0)
    return found


def members(package: zipfile.ZipFile) -> Iterator[Member]:
    """Its files. Raises `BadPackage` for one that is somewhere else, or is no file, and for too many or too large ones."""
    seen: set[tuple[str, ...]] = set()
    left = MOST_BYTES
    infos = package.infolist()
    if len(infos) > MOST_FILES:
        raise BadPackage(f"it has more than {MOST_FILES} files")
    for info in infos:
        parts = _parts(info.filename)
        if not parts or parts[0] in _NOT_TAKEN:
            continue
        kind = stat.S_IFMT(info.external_attr >> 16)
        if info.flag_bits & 1:
            raise BadPackage(f"{info.filename[:_LONGEST]} is encrypted")
        if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise BadPackage(f"{info.filename[:_LONGEST]} is no file, but a link or a device")
        if info.is_dir():
            continue
        if parts[0].startswith("_") and parts[0] not in _OF_CHROMIUM:
            raise BadPackage(f"{parts[0]}: names that begin with _ are Chromium's own")
        if parts in seen:
            raise BadPackage(f"{info.filename[:_LONGEST]} is in it twice")
        seen.add(parts)
        left -= info.file_size
        if left < 0:
            raise BadPackage(f"it has more than {MOST_BYTES} bytes when it is unpacked")
        yield Member(info, parts)


def _parts(name: str) -> tuple[str, ...]:
    parts = tuple(name.rstrip("/").split("/"))
    bad = any(part in ("", ".", "..") or not part.isprintable() or "\\" in part or len(part.encode()) > _LONGEST for part in parts)
    if bad or len(parts) > _DEEPEST:
        raise BadPackage(f"{name[:_LONGEST]!r} is no path that a package may have")
    return parts


def unpack(source: Path, into: Path) -> None:
    """Into a directory that is made for it. What comes out is counted, whatever its entries say. Raises `BadPackage` and `OSError`."""
    into.mkdir()
    left = MOST_BYTES
    try:
        with zipfile.ZipFile(source) as package:
            for member in members(package):
                path = into.joinpath(*member.parts)
                path.parent.mkdir(parents=True, exist_ok=True)
                with package.open(member.info) as packed, path.open("xb") as target:
                    while part := packed.read(_PART):
                        left -= len(part)
                        if left < 0:
                            raise BadPackage(f"it has more than {MOST_BYTES} bytes when it is unpacked")
                        target.write(part)
    except (zipfile.BadZipFile, NotImplementedError, EOFError, RuntimeError, ValueError) as error:
        raise BadPackage(f"is no zip file that can be read: {error}") from error
