"""Bodies and queries of this wire format, checked (decisions D2, D5, D8, D9 of the `check` contract). Unknown fields are ignored."""

import re
from collections.abc import AsyncIterator, Sequence
from typing import Any, Literal, TypeVar, cast

import orjson
from fastapi import Request
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from passel.core.errors import FieldError, Invalid, Unprocessable
from passel.core.limits import Limits
from passel.core.text import require_storable
from passel.core.verification.asking import free_object, options, weights, wrong
from passel.core.verification.claims import MOST_CHARACTERS, Claim, Options
from passel.faces.kit.item_stream import NO_OBJECT, ItemsInObject, NotJson, StreamLimits
from passel.services.verification.batches import BatchHead
from passel.services.verification.items import LONGEST_KEY, ItemRequest

_Model = TypeVar("_Model", bound=BaseModel)

_LONGEST_NAME = 255


class Body(BaseModel):
    model_config = ConfigDict(strict=True, extra="ignore")


class OptionsFields(Body):
    timeout: int | None = Field(None, ge=1000, le=300_000)
    minConfidence: float | None = Field(None, ge=0, le=1)
    acceptThreshold: float | None = Field(None, ge=0, le=1)
    escalateThreshold: float | None = Field(None, ge=0, le=1)
    maxRetries: int | None = Field(None, ge=0, le=5)
    retryOnLowConfidence: bool | None = None
    model: str | None = Field(None, max_length=500)
    pooling: Literal["linear", "logodds"] | None = None


class VerifyFields(Body):
    content: str
    methods: dict[str, Any] | None = None
    options: OptionsFields | None = None
    context: dict[str, Any] | None = None
    metadata: dict[str, Any] | None = None
    run_async: bool | None = Field(None, alias="async")


class BatchItemFields(Body):
    content: Any = None
    context: Any = None
    idempotencyKey: str | None = None


class BatchFields(Body):
    items: list[BatchItemFields] | None = None
    fileId: str | None = None
    methods: dict[str, Any] | None = None
    options: OptionsFields | None = None
    context: dict[str, Any] | None = None
    name: str | None = None


async def read_body(request: Request) -> dict[str, Any]:
    """Raises `Invalid` for what is no JSON, `Unprocessable` for what is no object."""
    require_json(request)
    try:
        body = orjson.loads(await request.body())
    except orjson.JSONDecodeError as error:
        raise Invalid(f"Request body is not valid JSON: {error}") from error
    if not isinstance(body, dict):
        raise Unprocessable("Request body must be a JSON object")
    return cast(dict[str, Any], body)


def require_json(request: Request) -> None:
    kind = request.headers.get("content-type", "application/json").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise Invalid(f"Content-Type must be application/json, not {kind}")


def verify_request(body: dict[str, Any]) -> tuple[Claim, dict[str, Any], bool]:
    """The claim, the client's metadata, and whether nobody waits for the end. Raises `Unprocessable`."""
    fields = parse(VerifyFields, body)
    if not fields.content.strip():
        raise _missing("content")
    if len(fields.content) > MOST_CHARACTERS:
        raise wrong("content", f"Content exceeds maximum length ({MOST_CHARACTERS} characters)")
    require_storable(fields.content, "content")
    claim = Claim(fields.content, weights(fields.methods, "methods"), free_object(fields.context, "context"), _options(fields.options))
    return claim, free_object(fields.metadata, "metadata"), bool(fields.run_async)


class BatchBody:
    """The body of a new batch, whose items are read as they come in."""

    def __init__(self, request: Request, limits: Limits) -> None:
        require_json(request)
        bounds = StreamLimits(limits.batch_body_bytes, limits.item_bytes, limits.json_items)
        self._reader, self._taken = ItemsInObject(request.stream(), "items", bounds), 0

    async def groups(self) -> AsyncIterator[list[ItemRequest]]:
        """Raises `Unprocessable` for what is wrong with the form of items; what is wrong with their content fails the batch."""
        try:
            async for group in self._reader.groups():
                yield [_item(raw, self._taken + n) for n, raw in enumerate(group)]
                self._taken += len(group)
        except NotJson as error:
            if error.message.endswith(NO_OBJECT):
                raise Unprocessable("Request body must be a JSON object") from error
            raise Invalid(f"Request body is not valid JSON: {error.message.partition(': ')[2]}") from error

    def head(self) -> BatchHead:
        """What stands beside the items, once they were read. Raises `Unprocessable`."""
        fields = self._fields()
        if fields.name is not None and len(fields.name) > _LONGEST_NAME:
            raise wrong("name", f"must have at most {_LONGEST_NAME} characters")
        require_storable(fields.name or "", "name")
        claim = Claim("", weights(fields.methods, "methods"), free_object(fields.context, "context"), _options(fields.options))
        return BatchHead(claim, fields.name)

    def file_id(self) -> str | None:
        """The file that the items are in; None when they are in the body. Raises `Unprocessable`."""
        return self._fields().fileId

    def _fields(self) -> BatchFields:
        fields = parse(BatchFields, self._reader.fields)
        if self._reader.found == (fields.fileId is not None):
            raise Unprocessable("Provide either items or fileId")
        return fields


def _item(raw: Any, n: int) -> ItemRequest:
    if not isinstance(raw, dict):
        raise wrong(f"items.{n}", "must be an object")
    fields = parse(BatchItemFields, cast(dict[str, Any], raw), f"items[{n}].")
    where = f"items[{n}]"
    if fields.content is not None and not isinstance(fields.content, str):
        raise wrong(f"{where}.content", "must be a string")
    require_storable(fields.content or "", f"{where}.content")
    require_storable(fields.idempotencyKey or "", f"{where}.idempotencyKey")
    if isinstance(fields.context, dict):
        free_object(cast(dict[str, Any], fields.context), f"{where}.context")
    return ItemRequest(fields.content, fields.context, fields.idempotencyKey)


def request_key(given: str | None) -> str | None:
    """The header `Idempotency-Key`. Raises `Invalid`."""
    if given is not None and not 1 <= len(given) <= LONGEST_KEY:
        raise Invalid(f"Idempotency-Key must have 1 to {LONGEST_KEY} characters", field="Idempotency-Key")
    return given


def comma_list(value: str | None, known: Sequence[str], field: str) -> list[str] | None:
    """Raises `Invalid` for what is not `known`."""
    if value is None:
        return None
    asked = [one.strip() for one in value.split(",") if one.strip()]
    for one in asked:
        if one not in known:
            raise Invalid(f"{field} must be one of {', '.join(known)}, not {one}", field=field)
    return asked or None


def whole(value: str | None, field: str, default: int, least: int, most: int) -> int:
    """Raises `Invalid` for what is no whole number within these bounds (D16)."""
    if value is None:
        return default
    number = int(value) if value.isascii() and value.isdigit() and len(value) < 10 else None
    if number is None or not least <= number <= most:
        raise Invalid(f"{field} must be a whole number from {least} to {most}", field=field)
    return number


def parse(model: type[_Model], body: dict[str, Any], place: str = "") -> _Model:
    """Raises `Unprocessable` with each wrong field."""
    try:
        return model.model_validate(body)
    except ValidationError as error:
        raise _validation(error, place) from error


def _validation(error: ValidationError, place: str) -> Unprocessable:
    found: list[FieldError] = []
    for one in error.errors(include_url=False, include_input=False, include_context=False):
        loc = place + ".".join(str(part) for part in one["loc"])
        found.append(FieldError(loc, "Required field is missing" if one["type"] == "missing" else one["msg"]))
    first = found[0]
    said = f"{first.loc[:1].upper()}{first.loc[1:]} is required" if first.msg.startswith("Required") else f"{first.loc}: {first.msg}"
    return Unprocessable(said, errors=found)


def _missing(field: str) -> Unprocessable:
    return Unprocessable(f"{field.capitalize()} is required", errors=[FieldError(field, "Required field is missing")])


def _options(given: OptionsFields | None) -> Options:
    told = {} if given is None else given.model_dump()
    return options({_snake(name): value for name, value in told.items()}, "options", _camel)


def _snake(name: str) -> str:
    return re.sub(r"[A-Z]", lambda found: f"_{found[0].lower()}", name)


def _camel(name: str) -> str:
    return re.sub(r"_(.)", lambda found: found[1].upper(), name)
