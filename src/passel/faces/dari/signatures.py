"""How webhooks of this wire format are signed (section 5.3 of the contract), and how a receiver checks it.

Dari-Webhook-Signature      v1=<hex of HMAC-SHA256 over the exact body>; two of them, by comma, while an old secret counts
Dari-Webhook-Signature-V2   t=<Unix seconds>,v2=<hex over "<id>.<t>." and the body>: also says when it was sent
"""

import hmac
from collections.abc import Sequence
from datetime import datetime

from passel.core.webhook.signatures import hmac_hex

ID, TIMESTAMP, EVENT = "Dari-Webhook-Id", "Dari-Webhook-Timestamp", "Dari-Webhook-Event"
SIGNATURE, SIGNATURE_V2 = "Dari-Webhook-Signature", "Dari-Webhook-Signature-V2"


def sign(secrets: Sequence[str], delivery_id: str, type: str, body: bytes, now: datetime) -> dict[str, str]:
    """The headers of a delivery. Each secret signs, the newest first."""
    at = str(int(now.timestamp()))
    before = f"{delivery_id}.{at}.".encode()
    return {
        ID: delivery_id,
        TIMESTAMP: at,
        EVENT: type,
        SIGNATURE: ",".join(f"v1={hmac_hex(secret, body)}" for secret in secrets),
        SIGNATURE_V2: ",".join([f"t={at}", *(f"v2={hmac_hex(secret, before, body)}" for secret in secrets)]),
    }


def verify(secret: str, signature: str, body: bytes) -> bool:
    """Whether one of the signatures in the header `Dari-Webhook-Signature` is of this secret and this body."""
    wanted = f"v1={hmac_hex(secret, body)}".encode()
    return any(hmac.compare_digest(wanted, one.strip().encode()) for one in signature.split(","))
