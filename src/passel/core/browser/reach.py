"""How API processes reach the worker that a browser runs on.

    unix:/path         a socket of the machine that both run on
    tcp:host:port      a worker on another machine; a network between them that nobody else listens to is the operator's

Over the first, an API process may also hand on a client's connection itself: it sends the socket, and what it has read from it as it
is to be read there, in one message to the socket `handover_path` (SOCK_SEQPACKET, SCM_RIGHTS). Nothing is copied from then on, and the
connection outlives the API process.
"""

UNIX, TCP = "unix:", "tcp:"

PROOF = "X-Passel-Proof"
"""The header that proves who calls: it knows the installation's secret, with which `PROOF_TEXT` is signed."""
PROOF_TEXT = "reach browsers"

LARGEST_HANDOVER = 64 * 1024  # bytes, far below what a Unix socket takes as one message


def handover_path(address: str) -> str | None:
    """None where only bytes can be handed on."""
    return f"{address.removeprefix(UNIX)}.handover" if address.startswith(UNIX) else None


def host_and_port(address: str) -> tuple[str, int]:
    """Of a `tcp:` address."""
    host, _, port = address.removeprefix(TCP).rpartition(":")
    return host.strip("[]"), int(port)
