"""Between the wire and the use cases: pure functions."""

from passel.core.content import FileRef, Text, block_to_json
from passel.core.errors import Unprocessable
from passel.core.ids import FileId
from passel.faces.dari.requests import BatchItem, Block, FileBlock, FreeObject, ImageBlock, SessionFields, TextBlock
from passel.services.batches import ItemRequest
from passel.services.sessions import MessageRequest, SessionRequest


def to_block(block: Block) -> dict[str, object]:
    match block:
        case TextBlock():
            return block_to_json(Text(block.text))
        case FileBlock():
            return block_to_json(FileRef(FileId(block.file_id)))
        case ImageBlock():
            return block_to_json(FileRef(FileId(block.file_id), image=True))


def to_message(content: list[Block], metadata: FreeObject | None) -> MessageRequest:
    return MessageRequest([to_block(block) for block in content], metadata or {})


def to_session(fields: SessionFields | None) -> SessionRequest:
    if fields is None:
        return SessionRequest()
    if fields.storage_binding_id is not None:
        raise Unprocessable(
            "storage_binding_id needs a sandbox, which this server does not have yet: leave it out", field="storage_binding_id"
        )
    return SessionRequest(
        name=fields.name,
        metadata=fields.metadata or {},
        secrets=fields.secrets or {},
        llm_id=fields.llm_id,
        llm_api_key=fields.llm_api_key,
        internet_access=bool(fields.internet_access),
        version_id=fields.version_id,
    )


def to_item(item: BatchItem) -> ItemRequest:
    return ItemRequest(
        agent_id=item.agent_id,
        version_id=item.version_id,
        llm_id=item.llm_id,
        metadata=item.metadata or {},
        secrets=item.secrets or {},
        content=[to_block(block) for block in item.message.content],
        message_metadata=item.message.metadata or {},
    )
