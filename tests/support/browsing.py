"""What tests of browsers share: pages on this machine, and PDFs."""

import contextlib
import io
import json
import ssl
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@contextlib.contextmanager
def pages(handler: type[BaseHTTPRequestHandler], tls: ssl.SSLContext | None = None) -> Iterator[str]:
    """A server of such pages; its address, without a slash at the end."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"{'https' if tls else 'http'}://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def pdf(*pages: str, turns: int = 0) -> bytes:
    """A PDF with a line on each page; each page moves the pen so many times before, which takes a reader its time."""
    font = 3 + 2 * len(pages)
    kids = " ".join(f"{3 + 2 * n} 0 R" for n in range(len(pages)))
    objects = ["<< /Type /Catalog /Pages 2 0 R >>", f"<< /Type /Pages /Kids [{kids}] /Count {len(pages)} >>"]
    for n, line in enumerate(pages):
        drawn = f"BT /F1 18 Tf {'1 0 Td ' * turns}20 100 Td ({line}) Tj ET"
        fonts = f"<< /Font << /F1 {font} 0 R >> >>"
        objects.append(f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 300 200] /Contents {4 + 2 * n} 0 R /Resources {fonts} >>")
        objects.append(f"<< /Length {len(drawn)} >>\nstream\n{drawn}\nendstream")
    objects.append("<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>")
    data, places = b"%PDF-1.4\n", [b"0000000000 65535 f \n"]
    for number, one in enumerate(objects, 1):
        places.append(b"%010d 00000 n \n" % len(data))
        data += f"{number} 0 obj\n{one}\nendobj\n".encode()
    end = f"trailer << /Size {len(places)} /Root 1 0 R >>\nstartxref\n{len(data)}\n%%EOF\n".encode()
    return data + b"xref\n0 %d\n" % len(places) + b"".join(places) + end


def packed(manifest: Any, files: dict[str, str] | None = None) -> bytes:
    """An extension as a zip file; a text as its manifest is taken as it is."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as package:
        package.writestr("manifest.json", manifest if isinstance(manifest, str) else json.dumps(manifest))
        for name, text in (files or {}).items():
            package.writestr(name, text)
    return made.getvalue()
