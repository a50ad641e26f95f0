"""How many sessions may still be made, as headers say it (2.0 of the `anchor` contract; RateLimit header fields, draft 8)."""

import base64
import hashlib

from passel.services.browser.rates import WINDOW, Standing


def headers(standing: Standing | None, *, refused: bool = False) -> dict[str, str]:
    if standing is None:
        return {}
    policy = f'"{standing.most}-in-1min"'
    partition = base64.b64encode(hashlib.sha256(standing.org_id.encode()).hexdigest()[:12].encode()).decode()
    told = {
        "RateLimit": f"{policy}; r={standing.left}; t={standing.seconds}",
        "RateLimit-Policy": f"{policy}; q={standing.most}; w={WINDOW}; pk=:{partition}:",
    }
    return told | ({"Retry-After": str(standing.seconds)} if refused else {})
