"""Bodies of this wire format (section 5 of the `anchor` contract). Known keys are checked; unknown ones are accepted and told in
`warnings`, as are options that have no effect here. What was asked to be active and is not served is refused (D3)."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, cast

import orjson
from fastapi import Request
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from passel.core.browser.configuration import NEVER, Configuration, Mask
from passel.core.browser.guard import url_problem
from passel.core.browser.upstream import Upstream, credentials_problem
from passel.core.errors import FieldError, Invalid
from passel.core.text import require_storable
from passel.faces.anchor.ids import extension_id
from passel.services.browser.requests import BrowserRequest

_LARGEST_METADATA, _MOST_TAGS, _LONGEST_TAG = 16 * 1024, 50, 256


class Body(BaseModel):
    model_config = ConfigDict(strict=True, extra="allow", hide_input_in_errors=True)


class Active(Body):
    active: bool | None = None


class Proxy(Active):
    type: str | None = None
    server: str | None = Field(None, repr=False)
    username: str | None = Field(None, repr=False)
    password: str | None = Field(None, repr=False)
    country_code: str | None = None
    region: str | None = None
    city: str | None = None


class Timeout(Body):
    max_duration: float | None = None
    idle_timeout: float | None = None


class LiveView(Body):
    read_only: bool | None = None
    one_time_url: bool | None = None


class SessionPart(Body):
    initial_url: str | None = None
    tags: list[str] | None = None
    recording: Active | None = None
    proxy: Proxy | None = None
    timeout: Timeout | None = None
    live_view: LiveView | None = None
    scoped_access: Active | None = None


class Viewport(Body):
    width: int | None = Field(None, ge=100, le=8000)
    height: int | None = Field(None, ge=100, le=8000)


ProfileName = Annotated[str, Field(min_length=1, max_length=255, pattern=r"^[^/\x00-\x1f\x7f]+$")]


class Profile(Body):
    name: ProfileName | None = None
    persist: bool | None = None


class Pattern(Body):
    regex: str = Field(min_length=1, max_length=1000)
    mask: str = Field("****", max_length=100)


Selector = Annotated[str, Field(min_length=1, max_length=1000, pattern=r"^[^{}]+$")]


class MaskPart(Active):
    custom_selectors: list[Selector] | None = Field(None, max_length=200)
    site_selectors: dict[str, list[Selector]] | None = Field(None, max_length=200)
    custom_patterns: list[Pattern] | None = Field(None, max_length=50)


class BrowserPart(Body):
    profile: Profile | None = None
    adblock: Active | None = None
    popup_blocker: Active | None = None
    captcha_solver: Active | None = None
    headless: Active | None = None
    viewport: Viewport | None = None
    fullscreen: Active | None = None
    pdf_viewer: Active | None = None
    p2p_download: Active | None = None
    extensions: Annotated[list[str], Field(max_length=10)] | None = None
    certificates: Annotated[list[str], Field(max_length=10)] | None = None
    disable_web_security: Active | None = None
    extra_stealth: Active | None = None
    force_popups_as_tabs: Active | None = None
    web_bot_auth: Active | None = None
    disable_dialogs: Active | None = None
    tracing: Active | None = None
    sensitive_data_mask: MaskPart | None = None


class SessionFields(Body):
    session: SessionPart | None = None
    browser: BrowserPart | None = None
    integrations: list[dict[str, Any]] | None = None
    identities: list[dict[str, Any]] | None = None


class BatchFields(Body):
    count: int
    configuration: SessionFields | None = None
    metadata: dict[str, Any] | None = None


class TokenFields(Body):
    scopes: list[Literal["live_view_read_only", "live_view", "cdp"]] | None = None


class CancelFields(Body):
    status: Literal["cancelled"]


class RetryFields(Body):
    retry_failed_only: bool | None = None
    max_retries: int | None = Field(None, ge=1, le=3)


_SHOWN_OF_PROXIES = ("type", "active", "server")
_NOT_SERVED = ("captcha_solver", "extra_stealth", "web_bot_auth")
_WITHOUT_EFFECT = {
    "adblock": "this server has no filter list (PASSEL_FILTER_LISTS); nothing is blocked",
    "popup_blocker": "filter lists of this server are of hosts; what pages show is not blocked",
    "tracing": "this server keeps no traces",
}
"""What may be asked to be active, and is not (D4)."""


async def read_body(request: Request) -> dict[str, Any]:
    """Raises `Invalid`. An empty body is an empty object."""
    raw = await request.body()
    try:
        body = orjson.loads(raw) if raw.strip() else {}
    except orjson.JSONDecodeError as error:
        raise Invalid(f"the body is not JSON: {error}") from error
    if not isinstance(body, dict):
        raise Invalid("the body must be a JSON object")
    return cast(dict[str, Any], body)


def parse(model: type[Any], body: dict[str, Any], place: str = "") -> Any:
    """Raises `Invalid`, which names the field."""
    try:
        return model.model_validate(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        where = place + ".".join(str(part) for part in first["loc"])
        raise _wrong(where, first["msg"]) from error


def _wrong(field: str, message: str) -> Invalid:
    return Invalid(f"{field}: {message}", errors=[FieldError(field, message)])


def moment(given: datetime | None) -> datetime | None:
    """Of a query; without an offset it is UTC."""
    return given if given is None or given.tzinfo else given.replace(tzinfo=UTC)


def session_request(body: dict[str, Any], place: str = "", *, filters: bool = False) -> BrowserRequest:
    """`filters` says whether the server has filter lists. Raises `Invalid`."""
    fields: SessionFields = parse(SessionFields, body, place)
    session, browser = fields.session or SessionPart(), fields.browser or BrowserPart()
    _refuse_what_is_not_served(fields, session, browser, place)
    default = Configuration()
    upstream = _upstream(session.proxy, f"{place}session.proxy")
    timeout = session.timeout or Timeout()
    viewport = browser.viewport or Viewport(width=None, height=None)
    if session.initial_url is not None and (problem := url_problem(session.initial_url)) is not None:
        raise _wrong(f"{place}session.initial_url", problem)
    profile = browser.profile or Profile()
    if profile.persist and profile.name is None:
        raise _wrong(f"{place}browser.profile.name", "what is to persist needs a name")
    configuration = Configuration(
        width=viewport.width or default.width,
        height=viewport.height or default.height,
        initial_url=session.initial_url,
        tags=_tags(session.tags, f"{place}session.tags"),
        idle_minutes=_minutes(timeout.idle_timeout, default.idle_minutes, f"{place}session.timeout.idle_timeout"),
        max_minutes=_minutes(timeout.max_duration, default.max_minutes, f"{place}session.timeout.max_duration"),
        recording=_on(session.recording, default=True),
        p2p_download=_on(browser.p2p_download, default=False),
        view_only=session.live_view is not None and bool(session.live_view.read_only),
        one_time_view=session.live_view is not None and bool(session.live_view.one_time_url),
        scoped=_on(session.scoped_access, default=False),
        pdf_viewer=_on(browser.pdf_viewer, default=True),
        disable_web_security=_on(browser.disable_web_security, default=False),
        force_tabs=_on(browser.force_popups_as_tabs, default=False),
        dialogs=not _on(browser.disable_dialogs, default=False),
        fullscreen=_on(browser.fullscreen, default=False),
        mask=_mask(browser.sensitive_data_mask),
        proxy=upstream and upstream.server,
        profile=profile.name,
        persist=bool(profile.persist),
        extensions=tuple(dict.fromkeys(map(extension_id, browser.extensions or ()))),
        certificates=tuple(dict.fromkeys(browser.certificates or ())),
        adblock=filters and _on(browser.adblock, default=True),
    )
    for text in (
        session.initial_url or "",
        profile.name or "",
        *configuration.tags,
        *configuration.extensions,
        *configuration.certificates,
    ):
        require_storable(text, f"{place}session")
    told = tuple(_warnings(fields, browser, place, filters))
    return BrowserRequest(configuration, _readable(body), told, upstream, f"{place}session.proxy.server")


def _upstream(part: Proxy | None, field: str) -> Upstream | None:
    """Raises `Invalid`. User and password may be missing (5.3 of the `anchor` contract)."""
    if part is not None and part.active is None and part.server is not None:
        raise _wrong(f"{field}.active", "is required: true, or nothing goes through this proxy")
    if part is None or not part.active:
        return None
    if part.type == "anchor_proxy":
        raise _wrong(field, 'anchor_proxy is not supported by this server: give a proxy of your own, of the type "custom"')
    if part.type != "custom":
        raise _wrong(f"{field}.type", 'must be "custom"')
    if part.server is None:
        raise _wrong(f"{field}.server", "is required: PROTOCOL://HOST:PORT, where PROTOCOL is http, https or socks5")
    try:
        upstream = Upstream.parse(part.server)
    except ValueError as error:
        raise _wrong(f"{field}.server", str(error)) from None  # the cause may show what was given
    user, password = part.username or "", part.password or ""
    if not user and not password:
        return upstream
    if (problem := credentials_problem(upstream.scheme, user, password)) is not None:
        raise _wrong(f"{field}.{problem[0]}", problem[1])
    for name, text in (("username", user), ("password", password)):
        require_storable(text, f"{field}.{name}")
    return replace(upstream, user=user, password=password)


def _readable(body: dict[str, Any]) -> dict[str, Any]:
    """What was asked, of a proxy only what anybody may know who reads the session."""
    session = body.get("session")
    if not isinstance(session, dict) or not isinstance(proxy := cast(dict[str, Any], session).get("proxy"), dict):
        return body
    shown = {name: value for name, value in cast(dict[str, Any], proxy).items() if name in _SHOWN_OF_PROXIES and proxy.get("active")}
    return {**body, "session": {**session, "proxy": shown or {"active": False}}}


def _on(part: Active | None, *, default: bool) -> bool:
    return default if part is None or part.active is None else part.active


def _refuse_what_is_not_served(fields: SessionFields, session: SessionPart, browser: BrowserPart, place: str) -> None:
    proxy = session.proxy
    if _on(browser.captcha_solver, default=False) and (proxy is None or not proxy.active):
        raise Invalid("CAPTCHA solver requires proxy to be active.")
    if _on(browser.popup_blocker, default=False) and not _on(browser.adblock, default=True):
        raise _wrong(f"{place}browser.popup_blocker", "needs browser.adblock, which is switched off: switch both on, or both off")
    for name in _NOT_SERVED:
        if _on(getattr(browser, name), default=False):
            raise Invalid(f"{place}browser.{name} is not supported by this server")
    asked = {
        "integrations": bool(fields.integrations),
        "identities": bool(fields.identities),
    }
    for name, wanted in asked.items():
        if wanted:
            raise Invalid(f"{place}{name} is not supported by this server")


def _mask(part: MaskPart | None) -> Mask | None:
    if part is None or not part.active:
        return None
    mask = Mask(
        selectors=tuple(part.custom_selectors or ()),
        sites=tuple((host.lower(), tuple(selectors)) for host, selectors in (part.site_selectors or {}).items()),
        patterns=tuple((one.regex, one.mask) for one in part.custom_patterns or ()),
    )
    sites = (text for host, selectors in mask.sites for text in (host, *selectors))
    for text in (*mask.selectors, *sites, *(text for pattern in mask.patterns for text in pattern)):
        require_storable(text, "browser.sensitive_data_mask")
    return mask


class ProfileFields(Body):
    name: ProfileName
    description: str | None = Field(None, max_length=1000)
    source: str | None = None
    session_id: str | None = None
    dedicated_sticky_ip: bool | None = None


def profile_request(body: dict[str, Any]) -> tuple[str, str | None, str]:
    """Its name, its description, and the session. Raises `Invalid`."""
    fields: ProfileFields = parse(ProfileFields, body)
    for name in ("name", "description"):
        require_storable(getattr(fields, name) or "", name)
    if fields.source not in (None, "session"):
        raise _wrong("source", "a profile is made of a session: session")
    if fields.dedicated_sticky_ip:
        raise _wrong("dedicated_sticky_ip", "this server has no addresses to lend")
    if fields.session_id is None:
        raise _wrong("session_id", "name the running session whose state it is to have")
    return fields.name, fields.description, fields.session_id


CERTIFICATE_NAME = r"^[a-zA-Z0-9\-_]{1,255}$"


class CertificateFields(Body):
    name: str = Field(pattern=CERTIFICATE_NAME)
    description: str | None = Field(None, max_length=1000)


class TagFields(Body):
    tags: list[str]


def tags(body: dict[str, Any]) -> tuple[str, ...]:
    """Raises `Invalid`."""
    fields: TagFields = parse(TagFields, body)
    for tag in fields.tags:
        require_storable(tag, "tags")
    return _tags(fields.tags, "tags")


def _tags(given: list[str] | None, field: str) -> tuple[str, ...]:
    if given is None:
        return ()
    if len(given) > _MOST_TAGS or any(not 0 < len(tag) <= _LONGEST_TAG for tag in given):
        raise _wrong(field, f"at most {_MOST_TAGS} tags of 1 to {_LONGEST_TAG} characters")
    return tuple(given)


def _minutes(given: float | None, default: float, field: str) -> float:
    """Decimals are accepted (D38)."""
    if given is None:
        return default
    if given != NEVER and not 0 < given <= 10_000_000:
        raise _wrong(field, "must be a number of minutes above 0, or -1 for never")
    return float(given)


def _warnings(fields: SessionFields, browser: BrowserPart, place: str, filters: bool) -> list[str]:
    told = [f"{place}{name}: unknown, ignored" for name in _unknown(fields)]
    if not _on(browser.headless, default=False):
        told.append(f"{place}browser.headless: this server has no display; the browser runs headless")
    for name, why in _WITHOUT_EFFECT.items():
        if _on(getattr(browser, name), default=False) and not (filters and name == "adblock"):
            told.append(f"{place}browser.{name}: {why}")
    return told


def _unknown(part: BaseModel, place: str = "") -> list[str]:
    found = [place + name for name in part.model_extra or {}]
    for name in type(part).model_fields:
        if isinstance(inner := getattr(part, name), BaseModel):
            found += _unknown(inner, f"{place}{name}.")
    return found


def batch_request(body: dict[str, Any], most: int, *, filters: bool = False) -> tuple[int, BrowserRequest, dict[str, Any]]:
    """How many sessions, of what, and the batch's metadata. Raises `Invalid`."""
    fields: BatchFields = parse(BatchFields, body)
    if not 1 <= fields.count <= most:
        raise Invalid(f"Session count must be between 1 and {most}")
    metadata = fields.metadata or {}
    raw = orjson.dumps(metadata)
    if len(raw) > _LARGEST_METADATA or len(metadata) > 50:
        raise _wrong("metadata", f"at most 50 keys and {_LARGEST_METADATA} bytes of JSON")
    require_storable(raw.decode(), "metadata")
    request = session_request(body.get("configuration") or {}, "configuration.", filters=filters)
    if request.configuration.persist and fields.count > 1:
        raise _wrong("configuration.browser.profile.persist", "one session at a time writes a profile: take it out, or count 1")
    return fields.count, request, metadata
