"""What is asked of a verification, as its ledger keeps it."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from passel.core.llm.options import LlmOption
from passel.core.verification.calibration import Calibrator
from passel.core.verification.pooling import LINEAR, Thresholds

MOST_CHARACTERS = 50_000


@dataclass(frozen=True, slots=True)
class Options:
    """`timeout` in milliseconds is for one attempt with all methods (D24), `max_retries` for each method. With
    `retry_on_low_confidence` all of them run once more where the confidence is below `min_confidence` (D9). `model` is which
    one the methods ask that need one (D42). Without `review` nobody is asked to decide what they could not."""

    timeout: int = 30_000
    min_confidence: float | None = None
    accept_threshold: float = 0.95
    escalate_threshold: float = 0.5
    max_retries: int = 2
    retry_on_low_confidence: bool = False
    pooling: str = LINEAR
    model: str | None = None
    review: bool = True

    @property
    def thresholds(self) -> Thresholds:
        return Thresholds(self.accept_threshold, self.escalate_threshold)


@dataclass(frozen=True, slots=True)
class Claim:
    """`methods` have weights above 0; `context` may be shown to models and is as little to be trusted as the content.
    `models` are those that methods ask, chosen when the verification was made: the first by all, the others by those that
    want several opinions. `calibrators` by method are what the organisation had fitted by then (D35)."""

    content: str
    methods: dict[str, float]
    context: dict[str, Any] = field(default_factory=dict[str, Any])
    options: Options = field(default_factory=Options)
    models: tuple[LlmOption, ...] = ()
    calibrators: dict[str, Calibrator] = field(default_factory=dict[str, Calibrator])

    def to_json(self) -> dict[str, Any]:
        data = {"content": self.content, "methods": self.methods, "context": self.context, "options": asdict(self.options)}
        if self.calibrators:
            data["calibrators"] = {method: one.to_json() for method, one in self.calibrators.items()}
        return data | ({"models": [model.to_json() for model in self.models]} if self.models else {})

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> "Claim":
        models = tuple(LlmOption(**model) for model in data.get("models", ()))
        return Claim(data["content"], data["methods"], data["context"], Options(**data["options"]), models, _calibrators(data))

    @property
    def premises(self) -> tuple[str, ...]:
        """What the claim is to follow from: sentences in the context (D36)."""
        given = self.context.get("premises", ())
        if isinstance(given, str):
            return (given,)
        return tuple(one for one in given if isinstance(one, str)) if isinstance(given, list) else ()


def _calibrators(data: Mapping[str, Any]) -> dict[str, Calibrator]:
    return {method: Calibrator(**one) for method, one in data.get("calibrators", {}).items()}
