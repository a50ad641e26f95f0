"""The API as one page for people, made from the OpenAPI document. It loads nothing from anywhere, so it works without
the internet."""

from collections.abc import Iterator
from html import escape
from typing import Any

_STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}"
    "table{border-collapse:collapse;width:100%}td{padding:.2rem .6rem .2rem 0;vertical-align:top;border-top:1px solid #ccc}"
    "code{font-size:.9em}td:first-child{white-space:nowrap}"
)


def reference_page(document: dict[str, Any], source: str = "/openapi.json", key: str = "Authorization: Bearer dari_...") -> str:
    """Every call by subject: method, path, what it does, its parameters and the form of its body. `source` is where the document is read,
    `key` the header that a key goes in."""
    info = document["info"]
    title = escape(f"{info['title']} {info['version']}")
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>{title}</title><style>{_STYLE}</style><h1>{title}</h1>"
        f"<p>Calls below <code>/v1/</code> need an API key: <code>{escape(key)}</code>. "
        f'The forms of bodies and answers are in <a href="{escape(source)}">{escape(source)}</a>.</p>'
        f"{''.join(_subjects(document))}</html>\n"
    )


def _subjects(document: dict[str, Any]) -> Iterator[str]:
    rows: dict[str, list[str]] = {}
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            subject = (operation.get("tags") or ["other"])[0]
            rows.setdefault(subject, []).append(_row(method.upper(), path, operation))
    for subject, calls in rows.items():
        yield f"<h2>{escape(subject.capitalize())}</h2><table>{''.join(calls)}</table>"


def _row(method: str, path: str, operation: dict[str, Any]) -> str:
    said = operation.get("description") or operation["summary"]
    asked = [p["name"] for p in operation.get("parameters", []) if p["in"] != "path"]
    parameters = f"<br><small>parameters: {escape(', '.join(asked))}</small>" if asked else ""
    forms = escape(", ".join(_forms(operation)))
    body = f"<br><small>body: {forms}</small>" if forms else ""
    return f"<tr><td><code>{method} {escape(path)}</code></td><td>{escape(said)}{parameters}{body}</td></tr>"


def _forms(operation: dict[str, Any]) -> Iterator[str]:
    for media_type, content in operation.get("requestBody", {}).get("content", {}).items():
        schema = content.get("schema", {})
        named = [one["$ref"].rsplit("/", 1)[1] for one in schema.get("oneOf", schema.get("anyOf", [schema])) if "$ref" in one]
        yield " or ".join(named) or media_type
