"""A client of our own: calls with answers, and events to whoever listens for them."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from passel.workloads.browser.mux import Client, Gone, Message, Multiplexer, settle

Heard = Callable[[Message], None]


class Driver:
    def __init__(self) -> None:
        self._client: Client | None = None
        self._number = 0
        self._answers: dict[int, tuple[str, asyncio.Future[Any]]] = {}
        self._heard: list[Heard] = []

    @staticmethod
    async def of(mux: Multiplexer) -> "Driver":
        driver = Driver()
        driver._client = await mux.join(driver._told, driver._gone)
        return driver

    def listen(self, heard: Heard) -> None:
        self._heard.append(heard)

    async def call(self, method: str, params: Mapping[str, Any] | None = None, session_id: str | None = None) -> Any:
        """Raises `CommandFailed` and `Gone`."""
        if self._client is None:
            raise Gone
        self._number += 1
        answer = asyncio.get_running_loop().create_future()
        self._answers[self._number] = method, answer
        self._client.send(self._number, method, params or {}, session_id)
        return await answer

    def tell(self, method: str, params: Mapping[str, Any], session_id: str | None = None) -> None:
        """A command whose answer nobody waits for. Raises `Gone`."""
        if self._client is None:
            raise Gone
        self._number += 1
        self._client.send(self._number, method, params, session_id)

    async def pages(self) -> list[dict[str, Any]]:
        """Targets that are pages."""
        found = await self.call("Target.getTargets")
        return [one for one in found["targetInfos"] if one["type"] == "page"]

    async def attach(self, target_id: str) -> str:
        """The id of a session with a target."""
        return (await self.call("Target.attachToTarget", {"targetId": target_id, "flatten": True}))["sessionId"]

    async def leave(self) -> None:
        if (client := self._client) is not None:
            self._client = None
            await client.leave()

    def _gone(self) -> None:
        self._client = None
        for _, answer in self._answers.values():
            if not answer.done():
                answer.set_exception(Gone())
        self._answers.clear()

    def _told(self, message: Message) -> None:
        if "id" not in message:
            for heard in self._heard:
                heard(message)
            return
        if (asked := self._answers.pop(message["id"], None)) is not None:
            settle(*asked, message)
