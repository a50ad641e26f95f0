"""What a model is asked: the conversation with its files read."""

from collections.abc import Sequence
from typing import Any

from passel.core.agent.capabilities import Files
from passel.core.agent.ledger import Said
from passel.core.agent.spec import AgentSpec
from passel.core.ids import OrgId
from passel.models.questions import AskedTool, Picture, Question, Spoken, ToolOffer

MOST_ATTACHED = 64 * 1024 * 1024
"""Bytes of all files in one question. More would not be an answer's cost but this worker's memory."""


class TooMuchAttached(Exception):
    """The files of a conversation are larger than a question may be; the message says so."""


class _Reader:
    """Reads the files of one question, within its bound."""

    def __init__(self, files: Files, org_id: OrgId) -> None:
        self._files, self._org_id, self._left = files, org_id, MOST_ATTACHED

    async def part(self, block: dict[str, Any]) -> str | Picture:
        if block["type"] == "text":
            return block["text"]
        file = await self._files.read(self._org_id, block["file_id"], self._left)
        if file.data is None:
            raise TooMuchAttached(f"the files of this conversation have more than {MOST_ATTACHED} bytes together")
        self._left -= file.size
        if block["type"] == "image":
            return Picture(file.media_type, file.data)
        try:
            return f"File {file.filename}:\n\n{file.data.decode('utf-8')}"
        except UnicodeDecodeError:
            return f"File {file.filename}: {file.size} bytes that are no text, attached and not shown."


async def build_question(files: Files, org_id: OrgId, spec: AgentSpec, told: Sequence[Said]) -> Question:
    """Raises `TooMuchAttached`."""
    reader = _Reader(files, org_id)
    offers = tuple([ToolOffer(tool.name, tool.description, tool.input_schema) for tool in spec.tools.values()])
    return Question(spec.system_prompt, tuple([await _spoken(reader, said) for said in told]), offers)


async def _spoken(reader: _Reader, said: Said) -> Spoken:
    parts = tuple([await reader.part(block) for block in said.content])
    tools = tuple(AskedTool(call.call_id, call.name, call.arguments) for call in said.calls)
    return Spoken(said.role, parts, tools, said.call_id)
