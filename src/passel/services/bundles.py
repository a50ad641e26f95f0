"""Source bundles: tar.gz archives from strangers, read with a limit on everything."""

import io
import tarfile
import zlib
from dataclasses import dataclass, field

from passel.core.errors import Invalid
from passel.core.limits import Limits


@dataclass(frozen=True, slots=True)
class BundleFile:
    data: bytes = field(repr=False)
    executable: bool


def unpack(archive: bytes, limits: Limits) -> dict[str, BundleFile]:
    """Path -> file. Raises `Invalid` for anything but regular files and directories under relative paths."""
    files: dict[str, BundleFile] = {}
    total = 0
    try:
        with tarfile.open(fileobj=io.BytesIO(archive), mode="r:gz") as tar:
            for count, member in enumerate(tar, start=1):
                if count > limits.bundle_entries:
                    raise Invalid(f"the bundle has more than {limits.bundle_entries} entries")
                path = member.name.removeprefix("./")
                if member.isdir():
                    continue
                _check(path, member, files)
                total += member.size
                if total > limits.unpacked_bytes:
                    raise Invalid(f"the bundle unpacks to more than {limits.unpacked_bytes} bytes")
                content = tar.extractfile(member)
                assert content is not None
                files[path] = BundleFile(content.read(), bool(member.mode & 0o100))
    except (tarfile.TarError, EOFError, OSError, zlib.error, ValueError) as error:
        raise Invalid(f"the archive is not a readable tar.gz: {error}") from error
    return files


def _check(path: str, member: tarfile.TarInfo, files: dict[str, BundleFile]) -> None:
    if not member.isreg():
        raise Invalid(f"{path} is not a regular file: links and devices are not allowed in a bundle")
    if path.startswith("/") or any(segment in ("", ".", "..") for segment in path.split("/")):
        raise Invalid(f"{path!r} is not a plain relative path")
    if path in files:
        raise Invalid(f"{path} stands twice in the bundle")
