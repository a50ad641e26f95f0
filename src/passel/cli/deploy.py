"""`passel deploy`: publish a directory with a `dari.yml` as an agent."""

import gzip
import hashlib
import io
import subprocess
import tarfile
from pathlib import Path
from typing import Annotated, Any

import typer

from passel.cli.client import DEFAULT_URL, Client, Key, Url
from passel.cli.output import CommandError, note, print_json

_SKIPPED = {".dari", ".git", ".pytest_cache", ".venv", "__pycache__", "node_modules", ".DS_Store"}


def register(app: typer.Typer) -> None:
    app.command()(deploy)


def deploy(
    directory: Annotated[Path, typer.Argument(help="A directory with a dari.yml at its root.")] = Path(),
    agent: Annotated[str | None, typer.Option(help="Publish to this agent id instead of the one that the manifest names.")] = None,
    json_output: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    url: Url = DEFAULT_URL,
    key: Key = "",
) -> None:
    """Publish a directory as a new version of its agent, and activate it."""
    published = publish(Client(url, key), directory, agent)
    if json_output:
        print_json(published)
        return
    for warning in published.get("warnings", []):
        note(f"warning: {warning}")
    made = "created" if published["created"] else "updated"
    print(f"{made} agent {published['name']} ({published['agent_id']}), active version {published['version_id']}")


def publish(client: Client, directory: Path, agent_id: str | None = None) -> Any:
    archive = pack(directory)
    snapshot = client.post(
        "/v1/source-snapshots",
        {
            "format": "tar.gz",
            "sha256": hashlib.sha256(archive).hexdigest(),
            "size_bytes": len(archive),
            "metadata": {"origin": "local_cli"},
        },
    )
    snapshot_id = snapshot["source_snapshot_id"]
    client.upload(snapshot["upload_url"], archive, snapshot["upload_headers"])
    final = client.post(f"/v1/source-snapshots/{snapshot_id}/finalize", repeat=True)
    if final["status"] != "ready":
        raise CommandError(f"the upload was not accepted: {final['failure_reason']}")
    path = f"/v1/agents/{agent_id}/versions" if agent_id else "/v1/agents"
    try:
        return client.post(path, {"source_snapshot_id": snapshot_id})
    except CommandError:
        client.delete(f"/v1/source-snapshots/{snapshot_id}")
        raise


def pack(directory: Path) -> bytes:
    """A tar.gz that is the same for the same files: sorted, without times and owners."""
    if not (directory / "dari.yml").is_file():
        raise CommandError(f"{directory} has no dari.yml")
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for path in sorted(_files(directory)):
            if path.is_symlink():
                raise CommandError(f"{path} is a symbolic link, which a bundle cannot hold")
            data = path.read_bytes()
            info = tarfile.TarInfo(path.relative_to(directory).as_posix())
            info.size, info.mode = len(data), 0o755 if path.stat().st_mode & 0o100 else 0o644
            tar.addfile(info, io.BytesIO(data))
    return gzip.compress(buffer.getvalue(), mtime=0)


def _files(directory: Path) -> list[Path]:
    """What git would commit, in a git checkout; else all files but caches and environments."""
    listed = subprocess.run(
        ["git", "-C", str(directory), "ls-files", "-z", "--cached", "--others", "--exclude-standard"], capture_output=True
    )
    if listed.returncode == 0 and listed.stdout:
        paths = [directory / name.decode() for name in listed.stdout.split(b"\0") if name]
    else:
        paths = list(directory.rglob("*"))
    kept = (p for p in paths if not _SKIPPED & set(p.relative_to(directory).parts))
    return [p for p in kept if p.is_file() or p.is_symlink()]
