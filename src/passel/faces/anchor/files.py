"""Files that are fetched: whole, or a part of them, under a name that no header minds."""

import re
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from passel.services.browser.kept import Opened

_RANGE = re.compile(r"bytes=(\d*)-(\d*)")


def serve(request: Request, opened: Opened, name: str, *, inline: bool = False) -> Response:
    """A request for one range gets that; what is not understood is answered with the whole (RFC 9110, 14.2)."""
    size = opened.file.size_bytes
    plain = re.sub(r'[^\x20-\x7e]|["\\%]', "_", name)
    headers = {
        "Content-Disposition": f"{'inline' if inline else 'attachment'}; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}",
        "Accept-Ranges": "bytes",
        "X-Content-Type-Options": "nosniff",
    }
    span = _span(request.headers.get("range"), size)
    if span is None:
        whole = headers | {"Content-Length": str(size)}
        return StreamingResponse(opened.stream(), media_type=opened.file.media_type, headers=whole)
    first, last = span
    if first > last:
        return Response(status_code=416, headers=headers | {"Content-Range": f"bytes */{size}"})
    part = headers | {"Content-Range": f"bytes {first}-{last}/{size}", "Content-Length": str(last - first + 1)}
    return StreamingResponse(opened.stream(first, last), 206, part, media_type=opened.file.media_type)


def _span(given: str | None, size: int) -> tuple[int, int] | None:
    """The first and the last byte; a first that is behind the last cannot be had."""
    found = _RANGE.fullmatch(given or "")
    if found is None or found[1] == found[2] == "":
        return None
    if found[1] == "":
        return (max(0, size - int(found[2])), size - 1) if int(found[2]) else (1, 0)
    first, last = int(found[1]), min(size - 1, int(found[2])) if found[2] else size - 1
    return (first, last) if first < size and (not found[2] or int(found[2]) >= first) else (1, 0)
