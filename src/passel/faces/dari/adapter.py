"""Between the wire and the use cases: pure functions."""

from passel.core.agent.content import FileRef, Text, block_to_json
from passel.core.errors import Unprocessable
from passel.core.ids import FileId
from passel.core.verification.asking import free_object, options, weights
from passel.faces.dari.requests import (
    MAX_BLOCKS,
    MAX_TEXT,
    AnyText,
    BatchItem,
    Block,
    FileBlock,
    ForkFields,
    FreeObject,
    ImageBlock,
    SessionFields,
    TextBlock,
    VerifyFields,
)
from passel.services.agents.forking import ForkRequest
from passel.services.agents.planning import ItemRequest
from passel.services.agents.sessions import MessageRequest, SessionRequest
from passel.services.agents.verified import Verify


def to_block(block: Block | AnyText) -> dict[str, object]:
    match block:
        case TextBlock() | AnyText():
            return block_to_json(Text(block.text))
        case FileBlock():
            return block_to_json(FileRef(FileId(block.file_id)))
        case ImageBlock():
            return block_to_json(FileRef(FileId(block.file_id), image=True))


def to_message(content: list[Block], metadata: FreeObject | None, place: str = "content") -> MessageRequest:
    return MessageRequest([to_block(block) for block in content], metadata or {}, place)


def to_session(fields: SessionFields | None, place: str = "") -> SessionRequest:
    """`place` is where the fields stand in the body: nothing, or what comes before a field's name."""
    if fields is None:
        return SessionRequest()
    if fields.storage_binding_id is not None:
        where = f"{place}storage_binding_id"
        raise Unprocessable(f"{where} needs a sandbox, which this server does not have yet: leave it out", field=where)
    return SessionRequest(
        name=fields.name,
        metadata=fields.metadata or {},
        secrets=fields.secrets or {},
        llm_id=fields.llm_id,
        llm_api_key=fields.llm_api_key,
        internet_access=bool(fields.internet_access),
        version_id=fields.version_id,
        place=place,
    )


def to_verify(fields: VerifyFields | None) -> Verify | None:
    """Raises `Unprocessable`."""
    if fields is None:
        return None
    given = {} if fields.options is None else fields.options.model_dump()
    return Verify(
        weights(fields.methods, "verify.methods"),
        options(given, "verify.options"),
        free_object(fields.context, "verify.context"),
    )


def event_number(session_id: str, reference: str | int) -> int | None:
    """The number of an event of that session, which may be given as `sess_x:evt_n`, `evt_n` or `n`. None when it is none."""
    number = str(reference).removeprefix(f"{session_id}:").removeprefix("evt_")
    return int(number) if number.isascii() and number.isdigit() and len(number) <= 10 and int(number) < 2**31 else None


def to_fork(session_id: str, fields: ForkFields | None) -> ForkRequest:
    if fields is None:
        return ForkRequest()
    number = None if fields.after is None else event_number(session_id, fields.after)
    if fields.after is not None and not number:
        raise Unprocessable("after must be the id of an event of this session, or its number", field="after")
    return ForkRequest(number, fields.name, fields.metadata)


def item_problem(item: BatchItem) -> str | None:
    """What of an item is too large: then this item fails, and no other."""
    if len(item.message.content) > MAX_BLOCKS:
        return f"message.content has {len(item.message.content)} blocks; {MAX_BLOCKS} are allowed"
    for block in item.message.content:
        if isinstance(block, AnyText) and len(block.text) > MAX_TEXT:
            return f"a text block has {len(block.text)} characters; {MAX_TEXT} are allowed"
    return None


def to_item(item: BatchItem) -> ItemRequest:
    return ItemRequest(
        agent_id=item.agent_id,
        version_id=item.version_id,
        llm_id=item.llm_id,
        metadata=item.metadata or {},
        secrets=item.secrets or {},
        content=[to_block(block) for block in item.message.content],
        message_metadata=item.message.metadata or {},
        problem=item_problem(item),
    )
