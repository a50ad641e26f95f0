"""Where evidence is searched: the organisation's documents, and search engines."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, cast

import aiohttp
import orjson

from passel.core.ids import OrgId
from passel.core.verification.documents import Hit, Library
from passel.network import read_at_most
from passel.workloads.verification.tool.queries import Query

TIMEOUT = 10.0
_LARGEST = 2 * 1024 * 1024


class SearchFailed(Exception):
    """A source gave no answer; the message says which, and why."""


class Source(Protocol):
    @property
    def name(self) -> str: ...

    async def search(self, org_id: OrgId, query: Query, limit: int) -> list[Hit]:
        """The best first. Raises `SearchFailed`."""
        ...


@dataclass(frozen=True, slots=True)
class Corpus:
    """The documents that the organisation has loaded."""

    library: Library
    name: str = "corpus"

    async def search(self, org_id: OrgId, query: Query, limit: int) -> list[Hit]:
        return await self.library.search(org_id, query.words, limit)


@dataclass(frozen=True, slots=True)
class Engine:
    """A search engine over HTTP. `session` is the operator's way out: the address is the operator's own choice."""

    session: aiohttp.ClientSession
    base_url: str
    key: str | None = None

    async def _ask(self, method: str, path: str, **request: Any) -> Mapping[str, Any]:
        url = self.base_url.rstrip("/") + path
        timeout = aiohttp.ClientTimeout(total=TIMEOUT)
        try:
            async with self.session.request(method, url, timeout=timeout, allow_redirects=False, **request) as response:
                if response.status != 200:
                    raise SearchFailed(f"{self.name}: HTTP {response.status}{_hint(self.name, response.status)}")
                body = orjson.loads(await read_at_most(response, _LARGEST))
        except SearchFailed:
            raise
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            raise SearchFailed(f"{self.name}: {str(error) or type(error).__name__}") from error
        if not isinstance(body, dict):
            raise SearchFailed(f"{self.name}: the answer is no JSON object")
        return cast(Mapping[str, Any], body)

    @property
    def name(self) -> str:
        return type(self).__name__.lower()


def _hint(name: str, status: int) -> str:
    return " (is `json` among search.formats in its settings.yml?)" if name == "searxng" and status == 403 else ""


def _members(value: Any) -> list[Mapping[str, Any]]:
    return [cast(Mapping[str, Any], one) for one in cast(list[Any], value) if isinstance(one, dict)] if isinstance(value, list) else []


def _hits(found: Any, limit: int, text: str, date: str) -> list[Hit]:
    """Results that have an address, with their texts under the engine's own names."""
    hits = [
        Hit(one["url"], str(one.get("title") or ""), str(one.get(text) or ""), str(one[date]) if one.get(date) else None, whole=False)
        for one in _members(found)
        if isinstance(one.get("url"), str) and one["url"].startswith(("http://", "https://"))
    ]
    return hits[:limit]


class Searxng(Engine):
    """`GET /search` with `format=json` (docs.searxng.org, Search API), which the operator has to allow."""

    async def search(self, org_id: OrgId, query: Query, limit: int) -> list[Hit]:
        body = await self._ask("GET", "/search", params={"q": query.text, "format": "json"})
        return _hits(body.get("results"), limit, "content", "publishedDate")


class Tavily(Engine):
    """`POST /search` (docs.tavily.com, API reference)."""

    async def search(self, org_id: OrgId, query: Query, limit: int) -> list[Hit]:
        headers = {"Authorization": f"Bearer {self.key}"}
        body = await self._ask("POST", "/search", json={"query": query.text, "max_results": min(limit, 20)}, headers=headers)
        return _hits(body.get("results"), limit, "content", "published_date")


class Brave(Engine):
    """`GET /res/v1/web/search` (api-dashboard.search.brave.com, Web Search API)."""

    async def search(self, org_id: OrgId, query: Query, limit: int) -> list[Hit]:
        headers = {"X-Subscription-Token": self.key or "", "Accept": "application/json"}
        body = await self._ask("GET", "/res/v1/web/search", params={"q": query.text, "count": min(limit, 20)}, headers=headers)
        web = body.get("web")
        return _hits(cast(Mapping[str, Any], web).get("results") if isinstance(web, dict) else None, limit, "description", "page_age")


class Wikipedia(Engine):
    """The introductions of articles: `action=query`, `generator=search`, `prop=extracts` (mediawiki.org, API:Extracts)."""

    async def search(self, org_id: OrgId, query: Query, limit: int) -> list[Hit]:
        asked = {
            "action": "query",
            "format": "json",
            "formatversion": "2",
            "generator": "search",
            "gsrsearch": query.text,
            "gsrlimit": min(limit, 10),
            "prop": "extracts|info",
            "exintro": "1",
            "explaintext": "1",
            "exlimit": "max",
            "inprop": "url",
        }
        body = await self._ask("GET", "/w/api.php", params=asked, headers={"User-Agent": "passel (self-hosted claim verification)"})
        found = body.get("query")
        pages = _members(cast(Mapping[str, Any], found).get("pages") if isinstance(found, dict) else None)
        ordered = sorted(pages, key=lambda page: page["index"] if isinstance(page.get("index"), int) else 0)
        return [
            Hit(str(page["fullurl"]), str(page.get("title") or ""), str(page["extract"]))
            for page in ordered
            if page.get("extract") and str(page.get("fullurl")).startswith(("http://", "https://"))
        ]
