"""How bodies are signed. The one function that makes a signature is `hmac_hex`; which bytes it is given and in which headers
the result stands is a face's own (`letters.Form`)."""

import hashlib
import hmac
import secrets

PREFIX = "whsec_"


def new_secret() -> str:
    return PREFIX + secrets.token_urlsafe(32)


def hmac_hex(secret: str, *parts: bytes) -> str:
    """HMAC-SHA256 over the parts in their order, with the whole secret as the key, in lower-case hexadecimal digits."""
    mac = hmac.new(secret.encode(), digestmod=hashlib.sha256)
    for part in parts:
        mac.update(part)
    return mac.hexdigest()
