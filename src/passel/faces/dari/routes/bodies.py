"""Bodies that are read by hand: large ones, and those whose form depends on what is in them."""

from dataclasses import replace
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from passel.core.errors import Unprocessable
from passel.faces.kit.errors import describe, sentence

Model = TypeVar("Model", bound=BaseModel)


def parse(model: type[Model], raw: bytes, place: str = "") -> Model:
    """`raw` as JSON of that model. Raises `Unprocessable` with the field; `place` stands before it."""
    try:
        return model.model_validate_json(raw)
    except ValidationError as error:
        raise unprocessable(error, place) from error


def unprocessable(error: ValidationError, place: str = "") -> Unprocessable:
    errors: list[Any] = list(error.errors(include_url=False, include_input=False, include_context=False))
    found = [replace(e, loc=f"{place}.{e.loc}".strip(".")) for e in describe(errors)]
    return Unprocessable(sentence(found), field=found[0].loc or "body", errors=[replace(e, loc=e.loc or "body") for e in found])
