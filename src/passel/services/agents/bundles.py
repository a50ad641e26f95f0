"""Source bundles: tar.gz archives from strangers, read with a limit on everything."""

import gzip
import io
import tarfile
import zlib
from dataclasses import dataclass, field

from passel.core.errors import Invalid
from passel.core.limits import Limits
from passel.core.text import clean

_LONGEST_PATH = 1000
_LARGEST_HEADER = 64 * 1024
_HEADER_TYPES = (tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK, tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE)


@dataclass(frozen=True, slots=True)
class BundleFile:
    """`executable` is what the owner's mode bit says."""

    data: bytes = field(repr=False)
    executable: bool


class _Member(tarfile.TarInfo):
    """Refuses long headers before they are read: tarfile reads them whole, and they count as no file."""

    def _proc_member(self, tarfile: tarfile.TarFile) -> tarfile.TarInfo:  # the hook that tarfile calls for each header
        if self.type in _HEADER_TYPES and not 0 <= self.size <= _LARGEST_HEADER:
            raise Invalid(f"the bundle has a header of {self.size} bytes; {_LARGEST_HEADER} are allowed")
        return super()._proc_member(tarfile)  # type: ignore[misc]  # pyright: ignore


class _Bounded(io.RawIOBase):
    """A stream that ends in an error when it gets longer than anything allowed could be."""

    def __init__(self, inner: io.BufferedIOBase, limit: int) -> None:
        self._inner, self._left = inner, limit

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        data = self._inner.read(size)
        self._left -= len(data)
        if self._left < 0:
            raise Invalid("the bundle unpacks to more than is allowed")
        return data


def unpack(archive: bytes, limits: Limits) -> dict[str, BundleFile]:
    """Path -> file. Raises `Invalid` for an archive that cannot be read or is past a limit, and for anything but
    regular files and directories under relative paths. Long work for a thread."""
    files: dict[str, BundleFile] = {}
    total = 0
    stream = _Bounded(gzip.GzipFile(fileobj=io.BytesIO(archive)), limits.unpacked_bytes + limits.bundle_entries * 2048)
    try:
        with tarfile.open(fileobj=stream, mode="r|", tarinfo=_Member) as tar:
            for count, member in enumerate(tar, start=1):
                if count > limits.bundle_entries:
                    raise Invalid(f"the bundle has more than {limits.bundle_entries} entries")
                if member.isdir():
                    continue
                path = member.name.removeprefix("./")
                _check(path, member, files)
                total += member.size
                if total > limits.unpacked_bytes:
                    raise Invalid(f"the bundle unpacks to more than {limits.unpacked_bytes} bytes")
                content = tar.extractfile(member)
                assert content is not None
                files[path] = BundleFile(content.read(), bool(member.mode & 0o100))
    except (tarfile.TarError, EOFError, OSError, zlib.error, ValueError, OverflowError, RecursionError) as error:
        raise Invalid(f"the archive is not a readable tar.gz: {clean(str(error))}") from error
    return files


def _check(path: str, member: tarfile.TarInfo, files: dict[str, BundleFile]) -> None:
    shown = clean(path)[:200]
    if clean(path) != path or not path.isprintable() or len(path) > _LONGEST_PATH:
        raise Invalid(f"{shown!r} is no name for a file: use printable UTF-8 of at most {_LONGEST_PATH} characters")
    if not member.isreg() or member.issparse() or member.size < 0:
        raise Invalid(f"{shown} is not a regular file: links, devices and sparse files are not allowed in a bundle")
    if path.startswith("/") or any(segment in ("", ".", "..") for segment in path.split("/")):
        raise Invalid(f"{shown!r} is not a plain relative path")
    if path in files:
        raise Invalid(f"{shown} stands twice in the bundle")
