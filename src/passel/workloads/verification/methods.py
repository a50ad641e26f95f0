"""What every method of verification is."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from passel.core.ids import OrgId
from passel.core.llm.options import LlmOption
from passel.core.verification.claims import Claim
from passel.core.verification.findings import Finding
from passel.models.questions import Question


class NoAnswer(Exception):
    """A model gave no answer, or was asked as often as it may be. To run the method again would not help."""


class Unreadable(Exception):
    """A model answered with what is no answer to the question, twice. Another try of the method asks anew."""


class Models(Protocol):
    """The models that a method may ask."""

    @property
    def option(self) -> LlmOption | None:
        """The model of the claim; None where none is set up."""
        ...

    @property
    def panel(self) -> tuple[LlmOption, ...]:
        """Several models for methods that want opinions of different ones: at least that of the claim."""
        ...

    async def ask(
        self, name: str, question: Question, *, settings: Mapping[str, Any] | None = None, option: LlmOption | None = None
    ) -> str:
        """What a model says. `name` is the question's own within the method: one that was answered is not asked again,
        whatever dies in between. `settings` stand over those of the option. Raises `NoAnswer`."""
        ...


@dataclass(frozen=True, slots=True)
class Work:
    """A claim to look at, of an organisation."""

    claim: Claim
    org_id: OrgId
    models: Models


@dataclass(frozen=True, slots=True)
class _NoModels:
    option: LlmOption | None = None
    panel: tuple[LlmOption, ...] = ()

    async def ask(
        self, name: str, question: Question, *, settings: Mapping[str, Any] | None = None, option: LlmOption | None = None
    ) -> str:
        raise NoAnswer("no model is set up")


NO_MODELS: Models = _NoModels()
"""For those who check claims without any."""


class Method(Protocol):
    """Looks at a claim. What it cannot say anything about it abstains from; what it raises is an accident, and tried again."""

    async def __call__(self, work: Work) -> Finding: ...
