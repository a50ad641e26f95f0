"""What asks over HTTP where a browser's WebSocket is, as Chromium answers it: `connect_over_cdp("http://...")` does so first (4.4.1 of the
`anchor` contract). It needs what the WebSocket needs, in the query or in the header `anchor-api-key`."""

from urllib.parse import parse_qsl, urlencode

from fastapi import APIRouter, Request
from starlette.responses import Response

from passel.core.browser import events
from passel.core.errors import PasselError, Unauthenticated
from passel.faces.anchor.errors import error, status_of
from passel.faces.anchor.ids import session_id as own_id
from passel.faces.anchor.ids import to_uuid
from passel.faces.anchor.responses import ws
from passel.faces.kit.context import AuthenticatorIn, DepsIn, base_url
from passel.faces.kit.json import json_response
from passel.services.browser import access
from passel.services.browser.access import Given
from passel.services.browser.sessions import Ended

routes = APIRouter(include_in_schema=False)


@routes.get("/json/version/")
@routes.get("/json/version")
async def version(request: Request, deps: DepsIn, authenticator: AuthenticatorIn) -> Response:
    """A bare `apiKey` makes no session here: it does with the WebSocket that follows."""
    query = dict(parse_qsl(request.url.query))
    base = f"{ws(base_url(request, deps))}/devtools/browser"
    try:
        key = query.get("apiKey") or request.headers.get("anchor-api-key")
        caller = await authenticator.identify(f"Bearer {key}") if key else None
        given, token = query.get("sessionId"), query.get("token")
        if given is None and token is None:
            if caller is None:
                raise Unauthenticated("apiKey, sessionId or token is missing")
            return _told(f"{base}/new?{urlencode(query)}", "Chromium")
        org_id = None if caller is None else caller.org_id
        admitted = await access.admit(deps, Given(org_id, given and own_id(given), token), access.CDP, looks=True)
    except PasselError as failed:
        return error(410 if isinstance(failed, Ended) else status_of(failed), failed.message)
    found = admitted.found
    if "apiKey" not in query and token is None and not found.scoped:  # a key of a header does not get into addresses
        query["token"] = access.computed(deps, found.id, access.CDP)
    product = next(event.data["product"] for event in found.ledger if event.type == events.READY)
    return _told(f"{base}/{to_uuid(found.id)}?{urlencode(query)}", product)


def _told(url: str, product: str) -> Response:
    body = {"Browser": product, "Protocol-Version": "1.3", "webSocketDebuggerUrl": url}
    return json_response(body, headers={"Cache-Control": "no-store"})
