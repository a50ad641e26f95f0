"""Request bodies, with the limits that belong to the format. Those that are settings are checked by the use cases."""

import json
import re
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

import orjson
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, WithJsonSchema, model_validator

from passel.core.errors import Unprocessable
from passel.core.text import require_storable

MAX_TEXT = 1024 * 1024
MAX_BLOCKS = 100


def _storable(value: str) -> str:
    try:
        return require_storable(value, "the text")
    except Unprocessable as error:
        raise ValueError(error.message) from error


def _sha256(value: str) -> str:
    if not re.fullmatch(r"[0-9a-f]{64}", value):
        raise ValueError("must be 64 lower-case hexadecimal digits")
    return value


def _storable_json(value: dict[str, Any]) -> dict[str, Any]:
    if len(_written(value)) > 64 * 1024:
        raise ValueError("is larger than 64 KiB")
    return value


def _any_json(value: Any) -> Any:
    """Of any size that a body may have."""
    _written(value)
    return value


def _written(value: Any) -> str:
    try:
        text = json.dumps(value, allow_nan=False)
        orjson.dumps(value)  # has narrower ideas of integers and text, and writes the ledger
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"cannot be stored as JSON: {error}") from error
    if "\\u0000" in text.replace("\\\\", ""):
        raise ValueError("holds a NUL character; remove it")
    return text


def _moment(value: Any) -> datetime:
    """ISO 8601; without an offset it is UTC."""
    if not isinstance(value, str):
        raise ValueError("must be a moment in ISO 8601, such as 2026-11-24T18:00:00Z")
    try:
        moment = datetime.fromisoformat(value)
    except ValueError as error:
        raise ValueError("must be a moment in ISO 8601, such as 2026-11-24T18:00:00Z") from error
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


String = Annotated[str, AfterValidator(_storable)]
Moment = Annotated[datetime, BeforeValidator(_moment)]
Id = Annotated[str, StringConstraints(min_length=1, max_length=128), AfterValidator(_storable)]
Name = Annotated[str, StringConstraints(min_length=1, max_length=200), AfterValidator(_storable)]
Key = Annotated[str, StringConstraints(min_length=1, max_length=128), AfterValidator(_storable)]
Strings = dict[String, String]
FreeObject = Annotated[dict[str, Any], AfterValidator(_storable_json)]


class Request(BaseModel):
    """Unknown fields are ignored, since clients of several eras differ."""

    model_config = ConfigDict(strict=True, extra="ignore", hide_input_in_errors=True)


class StrictRequest(Request):
    """Unknown fields are errors: publishing forbids them, and beside secrets a typing error must not pass silently."""

    model_config = ConfigDict(strict=True, extra="forbid", hide_input_in_errors=True)


class TextBlock(Request):
    type: Literal["text"]
    text: Annotated[str, StringConstraints(max_length=MAX_TEXT), AfterValidator(_storable)]


class FileBlock(Request):
    type: Literal["file"]
    file_id: Id


class ImageBlock(Request):
    type: Literal["image"]
    file_id: Id


Block = Annotated[TextBlock | FileBlock | ImageBlock, Field(discriminator="type")]
Content = Annotated[list[Block], Field(min_length=1, max_length=MAX_BLOCKS)]


class SnapshotRequest(Request):
    format: Literal["tar.gz"]
    sha256: Annotated[str, AfterValidator(_sha256)]
    size_bytes: Annotated[int, Field(ge=1, lt=2**62)]
    metadata: FreeObject | None = None


class PublishRequest(StrictRequest):
    source_snapshot_id: Id
    runtime_metadata: FreeObject | None = None

    @model_validator(mode="before")
    @classmethod
    def _no_old_form(cls, data: Any) -> Any:
        if isinstance(data, dict) and ("manifest" in data or "source" in data):
            raise ValueError("manifest and source are the form of April 2026: upload a source snapshot and send its source_snapshot_id")
        return data


class SessionFields(StrictRequest):
    name: Name | None = None
    storage_binding_id: Id | None = None
    metadata: Strings | None = None
    secrets: Strings | None = Field(default=None, repr=False)
    llm_id: Id | None = None
    llm_api_key: Annotated[str, StringConstraints(pattern=r"^[\x21-\x7e]{1,4096}$")] | None = Field(default=None, repr=False)
    internet_access: bool | None = None
    version_id: Id | None = None


class StartRequest(StrictRequest):
    type: Literal["user.message"]
    content: Content
    metadata: FreeObject | None = None
    session: SessionFields | None = None


class UserMessageEvent(Request):
    type: Literal["user.message"]
    content: Content
    metadata: FreeObject | None = None


class ToolResultEvent(Request):
    type: Literal["tool.result_submitted"]
    message_id: Id
    tool_call_id: Id
    result: Annotated[Any, AfterValidator(_any_json)] = None
    is_error: bool = False

    @model_validator(mode="after")
    def _result_or_error(self) -> "ToolResultEvent":
        if "result" not in self.model_fields_set and not self.is_error:
            raise ValueError("result is required unless is_error is true")
        return self


def _event_reference(value: Any) -> Any:
    if value is None or (isinstance(value, int | str) and not isinstance(value, bool)):
        return value
    raise ValueError("must be the id or the number of an event")


_EVENT_FORMS = [{"type": "string"}, {"type": "integer"}, {"type": "null"}]
EventReference = Annotated[Any, AfterValidator(_event_reference), WithJsonSchema({"anyOf": _EVENT_FORMS})]


class ForkFields(StrictRequest):
    """`after` is the last event that the fork takes over."""

    after: EventReference = None
    name: Name | None = None
    metadata: Strings | None = None


class EventForm(Request):
    """Only as much of an event as tells which form it has."""

    type: Any = None
    events: Any = None


class EventsRequest(Request):
    """The form of before 5 May 2026, of which one event is taken."""

    events: Annotated[list[UserMessageEvent], Field(min_length=1, max_length=1)]


class PartsRequest(Request):
    """The form of March 2026."""

    parts: Content
    metadata: FreeObject | None = None


class AnyText(Request):
    type: Literal["text"]
    text: String


class BatchMessage(Request):
    content: Annotated[list[Annotated[AnyText | FileBlock | ImageBlock, Field(discriminator="type")]], Field(min_length=1)]
    metadata: FreeObject | None = None


class BatchItem(StrictRequest):
    """The form of an item. What is too large in it is the item's own problem (`passel.faces.dari.adapter`)."""

    agent_id: Id
    version_id: Id | None = None
    llm_id: Id | None = None
    metadata: Strings | None = None
    secrets: Strings | None = Field(default=None, repr=False)
    message: BatchMessage


class VerifyOptions(StrictRequest):
    """`timeout` in milliseconds; bounds as those of the `check` contract (D2, D9)."""

    timeout: Annotated[int, Field(ge=1000, le=300_000)] | None = None
    min_confidence: Annotated[float, Field(ge=0, le=1)] | None = None
    accept_threshold: Annotated[float, Field(ge=0, le=1)] | None = None
    escalate_threshold: Annotated[float, Field(ge=0, le=1)] | None = None
    max_retries: Annotated[int, Field(ge=0, le=5)] | None = None
    retry_on_low_confidence: bool | None = None
    model: Annotated[str, StringConstraints(min_length=1, max_length=500), AfterValidator(_storable)] | None = None
    pooling: Literal["linear", "logodds"] | None = None


class VerifyFields(StrictRequest):
    """How the answers of a batch are verified: `methods` with their weights."""

    methods: dict[str, Any] | None = None
    options: VerifyOptions | None = None
    context: dict[str, Any] | None = None


class BatchFields(StrictRequest):
    """A batch without its items. Unknown fields are errors: a mistyped key would make a second batch."""

    idempotency_key: Key | None = None
    max_concurrency: Annotated[int, Field(ge=1, lt=2**31)] | None = None
    mode: Literal["create", "complete_missing"] = "create"
    verify: VerifyFields | None = None


class BatchRequest(BatchFields):
    """As the document describes it; bodies are read item by item."""

    items: Annotated[list[BatchItem], Field(min_length=1)]


class RetryRequest(StrictRequest):
    """Which failed items run again; each filter that is given must match."""

    errors: Annotated[list[Annotated[str, StringConstraints(min_length=1, max_length=2000)]], Field(max_length=100)] | None = None
    llm_ids: Annotated[list[Id], Field(max_length=100)] | None = None
    metadata: Strings | None = None


class CredentialRequest(StrictRequest):
    value: String = Field(repr=False)


class KeyRequest(StrictRequest):
    """`scopes` of the record: `platform`; a key of `routing` alone has nothing to do here."""

    label: Name
    scopes: Annotated[list[Literal["platform", "routing"]], Field(min_length=1, max_length=2)] | None = None


class OrganisationRequest(StrictRequest):
    name: Name


class DeviceRequest(Request):
    device_name: Name = "cli"


class WebhookRequest(StrictRequest):
    """Unknown fields are errors: a mistyped `event_types` would subscribe to something else."""

    webhook_url: String
    event_types: Annotated[list[String], Field(max_length=100)] | None = None


class RedeliverRequest(StrictRequest):
    since: Moment
    until: Moment | None = None
    after: Id | None = None
