"""Files of browser sessions: kept as other files are, as long as their session is. Implements `passel.core.browser.shelf`."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from passel.core.browser.shelf import Kept
from passel.core.ids import OrgId, SessionId
from passel.core.text import leaf_name
from passel.services.deps import Deps
from passel.services.files import sniff
from passel.store import files as store
from passel.store.database import patiently
from passel.store.files import File

_PART = 1024 * 1024


@dataclass(frozen=True, slots=True)
class FileShelf:
    deps: Deps

    async def keep(self, org_id: OrgId, session_id: SessionId, name: str, path: Path) -> Kept:
        """Waits while the database is away. Bytes are stored before the row, as with every file."""
        digest, size, head = hashlib.sha256(), 0, b""

        async def parts() -> AsyncIterator[bytes]:
            nonlocal size, head
            with await asyncio.to_thread(path.open, "rb") as source:
                while part := await asyncio.to_thread(source.read, _PART):
                    head = head or part
                    size += len(part)
                    await asyncio.to_thread(digest.update, part)
                    yield part

        id, now = self.deps.ids.file(), self.deps.now()
        await self.deps.blobs.put(File(org_id, id, "", "", 0, "", now).blob_path, parts())
        file = File(org_id, id, leaf_name(name) or "file", _media_type(head), size, digest.hexdigest(), now)

        async def note() -> None:
            async with self.deps.db.write() as c:
                await store.insert_file(c, file)
                await store.use_files(c, org_id, [file.id], session_id)

        await patiently(note)
        return Kept(file.id, file.filename, file.media_type, file.size_bytes)


def _media_type(head: bytes) -> str:
    if head[4:8] == b"ftyp":
        return "video/mp4"
    if head.startswith(b"%PDF-"):
        return "application/pdf"
    return sniff(head)
