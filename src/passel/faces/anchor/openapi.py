"""What this face says of itself. Its paths are partly those of other faces, so that it has a document of its own."""

from typing import Any

from pydantic import BaseModel

_REFERENCE = "#/components/schemas/{model}"


def takes(model: type[BaseModel]) -> dict[str, Any]:
    """A body that is read by hand, for `openapi_extra` of a route."""
    return {"requestBody": {"content": {"application/json": {"schema": model.model_json_schema(ref_template=_REFERENCE)}}}}


def complete(document: dict[str, Any]) -> dict[str, Any]:
    """Models that bodies are made of stand where all find them, and every call needs the key of this face."""
    components = document.setdefault("components", {})
    schemas = components.setdefault("schemas", {})
    for operation in (one for path in document["paths"].values() for one in path.values()):
        body = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema", {})
        schemas.update(body.pop("$defs", {}))
    components["securitySchemes"] = {"key": {"type": "apiKey", "in": "header", "name": "anchor-api-key"}}
    document["security"] = [{"key": []}]
    return document
