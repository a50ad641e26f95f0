"""Certificates of an organisation's own authorities (2.10 of the `anchor` contract): sessions that name one trust what it signed."""

from collections.abc import Sequence
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from passel.core.browser.configuration import Configuration
from passel.core.errors import Conflict, Invalid, NotFound, QuotaExceeded
from passel.core.ids import OrgId
from passel.services.deps import Caller, Deps
from passel.store import certificates as store
from passel.store.certificates import Certificate

_PREFIX = "cert"
_MOST = 100
_FIELD = "browser.certificates"
LARGEST = 64 * 1024
"""Bytes of a file."""


async def create(deps: Deps, caller: Caller, name: str, description: str | None, raw: bytes) -> Certificate:
    """Raises `Invalid` for what is no certificate of an authority, `Conflict` for a name that is taken, and `QuotaExceeded`."""
    der, now = _read(raw, deps), deps.now()
    made = Certificate(caller.org_id, name, deps.ids.new(_PREFIX), description, der, now)
    async with deps.db.write() as c:
        if len(await store.list_certificates(c, caller.org_id)) >= _MOST:
            raise QuotaExceeded(f"there are {_MOST} certificates already: delete some")
        if not await store.insert_if_new(c, made):
            raise Conflict(f"there is a certificate {name} already: delete it first, or take another name", field="name")
    return made


def _read(raw: bytes, deps: Deps) -> bytes:
    """As DER."""
    if len(raw) > LARGEST:
        raise _wrong(f"may have {LARGEST} bytes")
    if b"PRIVATE KEY-----" in raw:
        raise _wrong("holds a private key, which nobody needs to trust what it signed: send the certificate alone")
    try:
        if b"-----BEGIN" in raw:
            found = x509.load_pem_x509_certificates(raw)
            if len(found) != 1:
                raise _wrong(f"holds {len(found)} certificates: send one at a time")
            [certificate] = found
        else:
            certificate = x509.load_der_x509_certificate(raw)
        constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
    except x509.ExtensionNotFound as error:
        raise _wrong("is not of an authority: it has no basic constraints (RFC 5280, 4.2.1.9)") from error
    except ValueError as error:
        raise _wrong("is no X.509 certificate, as PEM or as DER") from error
    if not constraints.ca:
        raise _wrong("is not of an authority, but of what one has signed (CA:FALSE): send that of the authority")
    if certificate.not_valid_after_utc < deps.now():
        raise _wrong(f"has expired, at {certificate.not_valid_after_utc:%Y-%m-%d}")
    return certificate.public_bytes(Encoding.DER)


def _wrong(said: str) -> Invalid:
    return Invalid(f"file: {said}", field="file")


async def list_certificates(deps: Deps, caller: Caller) -> list[Certificate]:
    """The oldest first."""
    async with deps.db.read() as c:
        return await store.list_certificates(c, caller.org_id)


async def delete(deps: Deps, caller: Caller, name: str) -> None:
    """Sessions that run trust it until they end. Raises `NotFound`."""
    async with deps.db.write() as c:
        if not await store.delete(c, caller.org_id, name):
            raise NotFound("Certificate not found")


async def require(deps: Deps, caller: Caller, configuration: Configuration) -> None:
    """Raises `Invalid` for one that the organisation does not have."""
    if not configuration.certificates:
        return
    async with deps.db.read() as c:
        found = {one.name for one in await store.list_certificates(c, caller.org_id, configuration.certificates)}
    for number, name in enumerate(configuration.certificates):
        if name not in found:
            field = f"{_FIELD}.{number}"
            raise Invalid(f"{field}: there is no certificate {name}; POST /v1/certificates makes one", field=field)


@dataclass(frozen=True, slots=True)
class CertificateShelf:
    """Implements `passel.core.browser.certificates.Certificates`."""

    deps: Deps

    async def fetch(self, org_id: OrgId, names: Sequence[str]) -> dict[str, bytes]:
        async with self.deps.db.read() as c:
            return {one.name: one.der for one in await store.list_certificates(c, org_id, names)}
