"""Metadata as query parameters."""

from fastapi import Request

from passel.core.text import require_storable


def asked_metadata(request: Request) -> dict[str, str] | None:
    """What the parameters `metadata.<key>=<value>` ask for; None when they want two values of one key, which nothing has."""
    wanted = {(k.removeprefix("metadata."), v) for k, v in request.query_params.multi_items() if k.startswith("metadata.")}
    metadata = dict(wanted)
    for key, value in metadata.items():
        require_storable(key + value, "metadata")
    return metadata if len(metadata) == len(wanted) else None
