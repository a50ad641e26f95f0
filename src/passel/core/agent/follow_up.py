"""What is begun with an agent's answer: a session of another kind, which is asked about it."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from passel.core.context import Spawn
from passel.core.ids import SessionId

_LONGEST_QUESTION = 8_000

BEGUN, REFUSED = "follow_up", "follow_up_refused"
"""What a message's result has beside its text: the session that was begun, or why none was."""


@dataclass(frozen=True, slots=True)
class FollowUp:
    """`prefix` is what the session's id begins with. `request` is in the shape of the other kind: the answer is put into it as
    `content`, of at most `longest` characters, and the user's question into its `context`."""

    kind: str
    prefix: str
    lane: str
    longest: int
    request: dict[str, Any]
    spec: dict[str, Any] = field(default_factory=dict[str, Any])

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @staticmethod
    def from_json(data: Mapping[str, Any] | None) -> "FollowUp | None":
        return FollowUp(**data) if data else None

    def refusal(self, answer: str) -> str | None:
        """Why nothing can be begun with an answer."""
        if not answer.strip():
            return "the answer is empty"
        if len(answer) > self.longest:
            return f"the answer has {len(answer)} characters, and at most {self.longest} can be looked at"
        return None

    def spawn(self, id: SessionId, answer: str, asked: Sequence[Mapping[str, Any]]) -> Spawn:
        """`asked` are the blocks of the user's message."""
        question = "\n".join(block["text"] for block in asked if block["type"] == "text")[:_LONGEST_QUESTION]
        context = {"question": question, **self.request["context"]}
        return Spawn(id, self.kind, self.lane, self.spec, {**self.request, "content": answer, "context": context})
