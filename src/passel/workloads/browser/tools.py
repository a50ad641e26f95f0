"""Tools (2.8 of the `anchor` contract): a page is opened, waited for, and read, pictured or printed."""

import asyncio
import base64
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from passel.core.browser.guard import url_problem
from passel.workloads.browser import acting
from passel.workloads.browser.calls import WrongCall
from passel.workloads.browser.mux import Message
from passel.workloads.browser.session import Call, Live
from passel.workloads.browser.tabs import Tab

_LOAD_SECONDS = 20.0
_WORK_SECONDS = 60.0
_MOST_HTML, _MOST_PDF = 32 * 1024 * 1024, 32 * 1024 * 1024
_PDF, _PART = "application/pdf", 1024 * 1024
_TALLEST = 20_000
_MOMENT = 0.05
_HTML = """(() => {
  const kind = document.doctype ? new XMLSerializer().serializeToString(document.doctype) + '\\n' : ''
  return [document.contentType, kind + document.documentElement.outerHTML]
})()"""
_SCROLL = """(async () => {
  for (let y = 0; y < document.documentElement.scrollHeight && y < %d; y += innerHeight) {
    scrollTo(0, y)
    await new Promise(done => setTimeout(done, 100))
  }
  scrollTo(0, 0)
})()"""


async def _page(live: Live, asked: Mapping[str, Any]) -> Tab:
    """The one of this index, a new one, or that in front; where it was asked to go."""
    tabs = live.tabs
    if (index := asked.get("page_index")) is not None:
        opened = tabs.all()
        if index >= len(opened):
            raise WrongCall(f"page_index: {len(opened)} pages are open")
        return opened[index]
    if asked.get("new_page"):
        return await open_tab(live)
    if (front := tabs.front) is None:
        raise WrongCall("this session has no page open", 404)
    return front


async def open_tab(live: Live) -> Tab:
    id = await acting.open_tab(live.tabs)
    while (tab := live.tabs.find(id)) is None:  # noqa: ASYNC110 - it is told in a moment
        await asyncio.sleep(0.01)
    return tab


async def go(live: Live, tab: Tab, asked: Mapping[str, Any]) -> None:
    """To its address, and until it has loaded; then for as long as was asked."""
    url = asked.get("url")
    if url:
        if (problem := url_problem(url, live.place.extensions)) is not None:
            raise WrongCall(f"url: {problem}")
        try:
            async with asyncio.timeout(_LOAD_SECONDS), _loading(live, tab) as loading:
                went = await live.tabs.call(tab, "Page.navigate", {"url": url})
                if went.get("errorText"):
                    raise WrongCall(f"{url} cannot be reached: {went['errorText']}", 422)
                if "loaderId" in went:  # else it is another place in the same document
                    await loading.until(went["loaderId"])
        except TimeoutError as error:
            live.tabs.tell(tab, "Page.stopLoading", {})
            if not asked.get("partial"):
                raise WrongCall(f"{url} has not loaded within {_LOAD_SECONDS:.0f} s", 504) from error
    await asyncio.sleep(asked.get("wait", 0) / 1000)


class _Loading:
    """Which documents of a tab have loaded."""

    def __init__(self) -> None:
        self._current = ""
        self._loaded: set[str] = set()
        self._some = asyncio.Event()

    def heard(self, message: Message) -> None:
        if message["method"] == "Page.frameNavigated" and "parentId" not in message["params"]["frame"]:
            self._current = message["params"]["frame"]["loaderId"]
        elif message["method"] == "Page.loadEventFired":
            self._loaded.add(self._current)
            self._some.set()

    async def until(self, loader_id: str) -> None:
        while loader_id not in self._loaded:
            await self._some.wait()
            self._some.clear()


@asynccontextmanager
async def _loading(live: Live, tab: Tab) -> AsyncGenerator[_Loading]:
    loading = _Loading()
    stop = live.tabs.listen_to_events(lambda one, message: loading.heard(message) if one is tab else None)
    try:
        yield loading
    finally:
        stop()


async def html(live: Live, asked: Mapping[str, Any]) -> Any:
    """`content_type` of the document, and its HTML as it is now; of a PDF the file."""
    async with asyncio.timeout(_WORK_SECONDS + asked.get("wait", 0) / 1000):
        tab = await _page(live, asked)
        await go(live, tab, asked)
        content_type, text = await _document(live, tab)
        if content_type == _PDF:
            return await _file(live, tab)
    if len(text) > _MOST_HTML:
        raise WrongCall(f"the page has more than {_MOST_HTML} characters")
    return {"content_type": content_type, "html": text}


async def _document(live: Live, tab: Tab) -> list[str]:
    """Its type and its HTML. One that has only just begun has no element yet."""
    while True:
        found = await live.tabs.call(tab, "Runtime.evaluate", {"expression": _HTML, "returnByValue": True})
        if "value" in found["result"]:
            return found["result"]["value"]
        await asyncio.sleep(_MOMENT)


async def _file(live: Live, tab: Tab) -> bytes:
    """What the browser shows with a viewer of its own, asked for once more the way that it came: with its cookies, and by its way out."""
    call = live.tabs.call
    frame = (await call(tab, "Page.getFrameTree"))["frameTree"]["frame"]
    options = {"disableCache": False, "includeCredentials": True}
    loaded = (await call(tab, "Network.loadNetworkResource", {"frameId": frame["id"], "url": frame["url"], "options": options}))["resource"]
    if not loaded["success"] or "stream" not in loaded:
        raise WrongCall(f"{frame['url']} cannot be read: {loaded.get('netErrorName') or loaded.get('httpStatusCode')}", 422)
    parts: list[bytes] = []
    try:
        while True:
            part = await call(tab, "IO.read", {"handle": loaded["stream"], "size": _PART})
            parts.append(base64.b64decode(part["data"]) if part.get("base64Encoded") else part["data"].encode())
            if sum(map(len, parts)) > _MOST_PDF:
                raise WrongCall(f"the PDF has more than {_MOST_PDF} bytes")
            if part["eof"]:
                return b"".join(parts)
    finally:
        live.tabs.tell(tab, "IO.close", {"handle": loaded["stream"]})


async def picture(live: Live, asked: Mapping[str, Any]) -> bytes:
    """PNG; JPEG where a quality is asked for."""
    async with asyncio.timeout(_WORK_SECONDS + asked.get("wait", 0) / 1000):
        tab = await _page(live, asked)
        sized = "width" in asked or "height" in asked
        if sized:
            configured = live.configuration
            size = {"width": asked.get("width", configured.width), "height": asked.get("height", configured.height)}
            await live.tabs.call(tab, "Emulation.setDeviceMetricsOverride", {**size, "deviceScaleFactor": 1, "mobile": False})
        try:
            await go(live, tab, asked)
            if asked.get("scroll"):
                await live.tabs.call(tab, "Runtime.evaluate", {"expression": _SCROLL % _TALLEST, "awaitPromise": True})
            quality = {"format": "jpeg", "quality": asked["quality"]} if "quality" in asked else {"format": "png"}
            whole = {"captureBeyondViewport": True, "clip": await _whole(live, tab)} if asked.get("full") else {}
            shot = await live.tabs.call(tab, "Page.captureScreenshot", {**quality, **whole})
        finally:
            if sized:
                await live.tabs.call(tab, "Emulation.clearDeviceMetricsOverride")
    return base64.b64decode(shot["data"])


async def _whole(live: Live, tab: Tab) -> dict[str, Any]:
    size = (await live.tabs.call(tab, "Page.getLayoutMetrics"))["cssContentSize"]
    if size["height"] > _TALLEST:
        raise WrongCall(f"capture_full_height: the page is {size['height']:.0f} pixels high, and pictures at most {_TALLEST}")
    return {"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1}


async def pdf(live: Live, asked: Mapping[str, Any]) -> bytes:
    """`print` is what `Page.printToPDF` takes."""
    async with asyncio.timeout(_WORK_SECONDS):
        tab = await _page(live, asked)
        await go(live, tab, asked)
        printed = await live.tabs.call(tab, "Page.printToPDF", asked["print"])
    return base64.b64decode(printed["data"])


def _bounded(work: Call) -> Call:
    async def called(live: Live, asked: Mapping[str, Any]) -> Any:
        try:
            return await work(live, asked)
        except TimeoutError as error:
            raise WrongCall("the page did not answer in time", 504) from error

    return called


CALLS: Mapping[str, Call] = {"html": _bounded(html), "picture": _bounded(picture), "pdf": _bounded(pdf)}
