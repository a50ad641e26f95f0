"""What is kept of a browser session's files, as its ledger says: recordings and downloads."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from passel.core.browser import events as browser_events
from passel.core.browser.guard import UPLOADS, is_file_name
from passel.core.errors import Conflict, Invalid, NotFound
from passel.core.events import Draft
from passel.services.browser.reach import Reach
from passel.services.browser.sessions import BrowserSession, Ended, get, tell
from passel.services.deps import Caller, Deps
from passel.store import files
from passel.store.database import WriteConnection
from passel.store.files import File

PRIMARY = "primary"


@dataclass(frozen=True, slots=True)
class KeptFile:
    """`data` is what the ledger said when it was kept."""

    id: str
    data: dict[str, Any]
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Opened:
    file: File
    deps: Deps

    def stream(self, first: int = 0, last: int | None = None) -> AsyncIterator[bytes]:
        """From byte `first` up to and with `last`."""
        return self.deps.blobs.stream_range(self.file.blob_path, first, self.file.size_bytes if last is None else last + 1)


def recordings_of(found: BrowserSession) -> list[KeptFile]:
    """There is one, the primary, unless it was deleted. Where it is not all of it, `data` has a `problem`."""
    failed = [event.data["error"] for event in found.ledger if event.type == browser_events.RECORDING_FAILED]
    told = {"problem": failed[-1]} if failed else {}
    return [replace(one, data=one.data | told) for one in _kept(found, browser_events.RECORDED, "recording_id")]


def downloads_of(found: BrowserSession) -> list[KeptFile]:
    return _kept(found, browser_events.DOWNLOADED, "file_id")


def _kept(found: BrowserSession, type: str, name: str) -> list[KeptFile]:
    gone = {event.data["file_id"] for event in found.ledger if event.type == browser_events.FILE_DELETED}
    told = [KeptFile(event.data[name], event.data, event.created_at) for event in found.ledger if event.type == type]
    return [one for one in told if one.id not in gone]


async def recordings(deps: Deps, caller: Caller, id: str) -> Sequence[KeptFile]:
    return recordings_of(await get(deps, caller, id))


async def open_recording(deps: Deps, caller: Caller, id: str, recording_id: str) -> Opened:
    """Raises `NotFound`, and `Conflict` while it is being made."""
    found = await get(deps, caller, id)
    return await _open(deps, found, _recording(found, recording_id))


def _recording(found: BrowserSession, recording_id: str) -> str:
    kept = recordings_of(found)
    chosen = [one.id for one in kept if recording_id in (PRIMARY, one.id)]
    if chosen:
        return chosen[-1]
    if found.message.ended_at is None and found.request.configuration.recording:
        raise NotFound("Recording is in progress: it is there when the session has ended")
    failed = [event.data["error"] for event in found.ledger if event.type == browser_events.RECORDING_FAILED]
    raise NotFound(f"Recording not found{f': {failed[-1]}' if failed else ''}")


async def _open(deps: Deps, found: BrowserSession, file_id: str) -> Opened:
    async with deps.db.read() as c:
        file = (await files.find_files(c, found.session.org_id, [file_id])).get(file_id)
    if file is None:
        raise NotFound("this file is gone")
    return Opened(file, deps)


async def downloads(deps: Deps, caller: Caller, id: str) -> Sequence[KeptFile]:
    """In the order in which they were complete."""
    return downloads_of(await get(deps, caller, id))


async def open_download(deps: Deps, caller: Caller, id: str, download_id: str) -> tuple[KeptFile, Opened]:
    """Raises `NotFound`."""
    found = await get(deps, caller, id)
    one = next((one for one in downloads_of(found) if one.id == download_id), None)
    if one is None:
        raise NotFound("Download not found")
    return one, await _open(deps, found, one.id)


async def upload(deps: Deps, caller: Caller, reach: Reach, id: str, name: str, parts: AsyncIterator[bytes]) -> str:
    """Returns how pages are given it. Raises `Invalid` for a name that is none, and `Ended`."""
    if not is_file_name(name):
        raise Invalid("file: its name must be that of a file, without a path, of at most 255 bytes", field="file")
    found = await get(deps, caller, id)
    if found.address is None:
        raise Ended("this session is not running")
    await reach.upload(found.address, found.id, name, parts)
    return f"{UPLOADS}{name}"


async def delete_recording(deps: Deps, caller: Caller, id: str, recording_id: str) -> None:
    """Raises `Invalid` where nothing was recorded, `Conflict` while it goes on, and `NotFound`."""
    found = await get(deps, caller, id)
    if not found.request.configuration.recording:
        raise Invalid("Recording is disabled for this session")
    if found.message.ended_at is None:
        raise Conflict("the session is being recorded: end it first")
    file_id = _recording(found, recording_id)

    async def remove(c: WriteConnection) -> None:
        await files.unuse_file(c, file_id, found.id, deps.now())

    await tell(deps, found, Draft(browser_events.FILE_DELETED, {"file_id": file_id}), remove)


async def set_recording(deps: Deps, caller: Caller, reach: Reach, id: str, to: str) -> str:
    """Pause or resume. Returns how it stands then. Raises `Ended`, and `NotFound` for a session that is not recorded."""
    found = await get(deps, caller, id)
    if found.address is None:
        raise Ended("this session is not running")
    try:
        return (await reach.call(found.address, found.id, "recording", to=to))["status"]
    except NotFound as error:
        raise NotFound("this session is not recorded") from error
