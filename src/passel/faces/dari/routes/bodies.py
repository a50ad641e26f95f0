"""Bodies that are read by hand: large ones, and those whose form depends on what is in them."""

from dataclasses import replace
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from passel.core.errors import FieldError, Unprocessable
from passel.faces.kit.errors import SHOWN_ERRORS, describe, sentence

Model = TypeVar("Model", bound=BaseModel)


def parse(model: type[Model], raw: bytes, place: str = "") -> Model:
    """`raw` as JSON of that model. Raises `Unprocessable` with every broken field; `place` stands before it."""
    try:
        return model.model_validate_json(raw)
    except ValidationError as error:
        faults = Faults()
        faults.add(error, place)
        raise faults.error() from error


class Faults:
    """What is wrong with a body that is read piece by piece. As many are looked for as an answer shows."""

    def __init__(self) -> None:
        self._found: list[FieldError] = []

    def __bool__(self) -> bool:
        return bool(self._found)

    @property
    def enough(self) -> bool:
        return len(self._found) >= SHOWN_ERRORS

    def add(self, error: ValidationError, place: str = "") -> None:
        """`place` stands before the names of its fields."""
        errors: list[Any] = list(error.errors(include_url=False, include_input=False, include_context=False))
        self._found += [replace(e, loc=f"{place}.{e.loc}".strip(".")) for e in describe(errors)]

    def error(self) -> Unprocessable:
        return Unprocessable(sentence(self._found), errors=self._found)
