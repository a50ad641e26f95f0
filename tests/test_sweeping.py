"""What nobody can need any more is removed: files that nothing names, reservations that came to nothing."""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2

from passel.blobs import BlobStore
from passel.core.errors import NotFound
from passel.core.ids import IdSource, KeyId, OrgId
from passel.engine.duties import Sweeper
from passel.services import accounts, files
from passel.services.agents import publishing
from passel.services.agents.sweeping import StaleSnapshots
from passel.services.deps import Caller, Deps
from passel.services.files import UnusedFiles
from passel.services.vault import Vault
from passel.store import files as store
from passel.store.admission import Capacity
from passel.store.announcing import Announcing
from passel.store.database import Database, WriteConnection
from tests.support.installation import Installation, item, played_model, scratch_dir, wait_until

DAY = timedelta(hours=24)


class Place:
    """An organisation with a clock of its own, and what sweeps it."""

    def __init__(self, db: Database, directory: Path) -> None:
        self.now = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
        self.blobs = directory / "blobs"
        ids = IdSource(lambda: 1_700_000_000_000)
        self.deps = Deps(
            db,
            BlobStore(f"file://{self.blobs}"),
            lambda: self.now,
            ids,
            Vault(b"k" * 32),
            Capacity(10, {}),
            Announcing(ids),
        )
        self.sweeper = Sweeper(db, [StaleSnapshots(self.deps), UnusedFiles(self.deps, DAY)])

    async def start(self) -> Caller:
        org = await accounts.create_organisation(self.deps, "One")
        return Caller(org.id, KeyId("key_1"))

    async def known(self, org_id: OrgId, *file_ids: str) -> set[str]:
        async with self.deps.db.read() as c:
            return set((await files.look_up(c, org_id, file_ids)).files)

    async def name(self, c: WriteConnection, org_id: OrgId, file_id: str, holder: str = "sess_1") -> files.KnownFiles:
        """As a message of the session `holder` names a file."""
        known = await files.hold(c, org_id, [file_id])
        await files.use(c, org_id, known.files, holder)
        return known

    def stored(self) -> int:
        return len([path for path in self.blobs.rglob("*") if path.is_file()])


def in_a_place(with_db: Any, directory: Path, scenario: Callable[[Place, Caller], Awaitable[None]]) -> None:
    async def run(db: Database) -> None:
        place = Place(db, directory)
        await scenario(place, await place.start())

    with_db(run)


def test_files_go_when_nothing_has_named_them_for_a_day(with_db: Any, tmp_path: Path) -> None:
    async def scenario(place: Place, caller: Caller) -> None:
        used = (await files.upload(place.deps, caller, "used", b"x")).id
        unused = (await files.upload(place.deps, caller, "unused", b"x")).id
        async with place.deps.db.write() as c:
            await place.name(c, caller.org_id, used)
        place.now += DAY - timedelta(seconds=1)
        await place.sweeper.tick()
        assert await place.known(caller.org_id, used, unused) == {used, unused}
        place.now += timedelta(seconds=2)
        await place.sweeper.tick()
        assert await place.known(caller.org_id, used, unused) == {used} and place.stored() == 1
        place.now += 100 * DAY
        await place.sweeper.tick()
        assert await place.known(caller.org_id, used) == {used}

    in_a_place(with_db, tmp_path, scenario)


def test_a_file_goes_with_the_last_session_that_names_it(with_db: Any, tmp_path: Path) -> None:
    async def scenario(place: Place, caller: Caller) -> None:
        file = (await files.upload(place.deps, caller, "f", b"x")).id
        async with place.deps.db.write() as c:
            for session in ("sess_1", "sess_2"):
                await place.name(c, caller.org_id, file, session)
        place.now += 2 * DAY
        await place.sweeper.tick()  # which finds that it is used
        for session, left in (("sess_1", 1), ("sess_2", 0)):
            async with place.deps.db.write() as c:
                await store.release_files(c, [session], place.now)
                await c.raw.execute("delete from file_use where holder_id = $1", session)
            await place.sweeper.tick()
            assert await place.known(caller.org_id, file) == {file}  # one may still name it
            place.now += DAY + timedelta(seconds=1)
            await place.sweeper.tick()
            assert place.stored() == left

    in_a_place(with_db, tmp_path, scenario)


def test_naming_a_file_and_the_end_of_its_last_use_at_once(with_db: Any, tmp_path: Path) -> None:
    """Whatever the sweep sees of two transactions that are under way, the file stays."""

    async def scenario(place: Place, caller: Caller) -> None:
        file = (await files.upload(place.deps, caller, "f", b"x")).id
        async with place.deps.db.write() as c:
            await place.name(c, caller.org_id, file, "sess_1")
        place.now += 2 * DAY
        async with place.deps.db.write() as naming:
            await place.name(naming, caller.org_id, file, "sess_2")
            async with place.deps.db.write() as ending:
                await store.release_files(ending, ["sess_1"], place.now)
                await ending.raw.execute("delete from file_use where holder_id = 'sess_1'")
                await asyncio.wait_for(place.sweeper.tick(), 10)
            place.now += 2 * DAY
            await asyncio.wait_for(place.sweeper.tick(), 10)
        await place.sweeper.tick()
        assert await place.known(caller.org_id, file) == {file} and place.stored() == 1

    in_a_place(with_db, tmp_path, scenario)


def test_a_file_that_is_being_named_is_kept(with_db: Any, tmp_path: Path) -> None:
    async def scenario(place: Place, caller: Caller) -> None:
        file = (await files.upload(place.deps, caller, "f", b"x")).id
        place.now += 2 * DAY
        async with place.deps.db.write() as c:
            await place.name(c, caller.org_id, file)
            await asyncio.wait_for(place.sweeper.tick(), 10)  # waits for nobody
        await place.sweeper.tick()
        assert await place.known(caller.org_id, file) == {file} and place.stored() == 1

    in_a_place(with_db, tmp_path, scenario)


def test_a_sweep_that_breaks_off_is_finished_by_the_next(with_db: Any, tmp_path: Path) -> None:
    async def scenario(place: Place, caller: Caller) -> None:
        file = (await files.upload(place.deps, caller, "f", b"x")).id
        place.now += 2 * DAY
        async with place.deps.db.write() as c:
            assert len(await UnusedFiles(place.deps, DAY).doom(c, 10)) == 1
        # doomed is doomed: nothing can name it any more, though its bytes are still there
        async with place.deps.db.write() as c:
            known = await place.name(c, caller.org_id, file)
        assert not known.files and place.stored() == 1
        await place.sweeper.tick()
        assert place.stored() == 0

    in_a_place(with_db, tmp_path, scenario)


def test_reservations_that_came_to_nothing_go(with_db: Any, tmp_path: Path) -> None:
    async def scenario(place: Place, caller: Caller) -> None:
        deps, archive = place.deps, b"an archive"

        async def body() -> Any:
            yield archive

        async def reserve(sha256: str) -> Any:
            return await publishing.reserve_snapshot(deps, caller, sha256, len(archive), {})

        good = hashlib.sha256(archive).hexdigest()
        never, abandoned, wrong, ready = [await reserve(sha) for sha in (good, good, "0" * 64, good)]
        for snapshot in (abandoned, wrong, ready):
            await publishing.upload_snapshot(deps, snapshot.id, publishing.upload_token(deps, snapshot), body())
        assert (await publishing.finalize_snapshot(deps, caller, ready.id)).status == "ready"
        assert (await publishing.finalize_snapshot(deps, caller, wrong.id)).status == "failed"
        place.now += timedelta(minutes=30)
        await place.sweeper.tick()
        gone = await publishing.finalize_snapshot(deps, caller, never.id)
        assert (gone.status, gone.failure_reason) == ("failed", "expired")  # one may still ask
        place.now += timedelta(hours=1)
        await place.sweeper.tick()
        for snapshot in (never, abandoned, wrong):
            try:
                await publishing.finalize_snapshot(deps, caller, snapshot.id)
            except NotFound:
                continue
            raise AssertionError(snapshot)
        assert (await publishing.finalize_snapshot(deps, caller, ready.id)).status == "ready" and place.stored() == 1

    in_a_place(with_db, tmp_path, scenario)


def test_a_server_keeps_what_messages_and_batches_name() -> None:
    with scratch_dir() as directory, played_model() as model:
        passel = Installation(directory, 0).start()
        agent = passel.deploy(model.url, ["echo"])

        def upload() -> str:
            return passel.http().post("/v1/files", files={"file": ("a.txt", b"words")}).json()["id"]

        def naming(file_id: str) -> list[dict[str, str]]:
            return [{"type": "file", "file_id": file_id}]

        def send(path: str, file_id: str) -> httpx2.Response:
            return passel.http().post(path, json={"type": "user.message", "content": naming(file_id)})

        session = passel.client.post(f"/v1/agents/{agent}/sessions", {})["id"]
        unused, started, sent, batched, refused = [upload() for _ in range(5)]
        assert send(f"/v1/agents/{agent}/messages", started).status_code == 202
        assert send(f"/v1/sessions/{session}/events", sent).status_code == 202
        items = [item(agent, "x") | {"message": {"content": naming(batched)}}, item(agent, "x", llm_id="none")]
        items[1]["message"]["content"] = naming(refused)  # kept too: this item can be tried again
        passel.client.post("/v1/session-batches", {"items": items})
        assert passel.stop() == 0

        passel.settings["PASSEL_UNUSED_FILE_HOURS"] = "0.000001"
        passel.workers = 1
        passel.start()
        wait_until(lambda: len(list((directory / "blobs" / "files").rglob("file_*"))) == 4)
        assert send(f"/v1/agents/{agent}/messages", unused).status_code == 404
        for file_id in (started, sent, batched, refused):
            assert send(f"/v1/sessions/{session}/events", file_id).status_code == 202
        assert passel.stop() == 0
