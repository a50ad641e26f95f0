"""What a model is asked: the conversation with its files read."""

from collections.abc import Sequence
from typing import Any

from passel.core.context import Context
from passel.core.ledger import Said
from passel.workloads.agent.questions import Picture, Question, Spoken


class UnreadableContent(Exception):
    """A file of the message cannot be shown to the model; the message says which and why."""


async def build_question(context: Context, conversation: Sequence[Said]) -> Question:
    spoken = [Spoken(said.role, tuple([await _part(context, block) for block in said.content])) for said in conversation]
    return Question(context.turn.spec.system_prompt, tuple(spoken))


async def _part(context: Context, block: dict[str, Any]) -> str | Picture:
    if block["type"] == "text":
        return block["text"]
    file = await context.read_file(block["file_id"])
    if block["type"] == "image":
        return Picture(file.media_type, file.data)
    try:
        return f"File {file.filename}:\n\n{file.data.decode('utf-8')}"
    except UnicodeDecodeError as error:
        raise UnreadableContent(f"the file {file.filename} is not UTF-8 text, and an agent without a sandbox can read no other") from error
