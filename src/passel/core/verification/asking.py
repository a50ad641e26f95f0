"""What may be asked of a verification, whatever face it is asked through (D2, D8, D9 of the `check` contract)."""

import json
import math
from collections.abc import Callable, Mapping
from typing import Any

import orjson

from passel.core.errors import FieldError, Unprocessable
from passel.core.text import require_storable
from passel.core.verification import METHODS, REASONING
from passel.core.verification.claims import Options

_LARGEST_OBJECT, _HEAVIEST = 16 * 1024, 100


def wrong(field: str, message: str) -> Unprocessable:
    return Unprocessable(f"{field}: {message}", errors=[FieldError(field, message)])


def weights(given: Mapping[str, Any] | None, field: str) -> dict[str, float]:
    """Weights above 0, by method (D8). Raises `Unprocessable`."""
    if given is None:
        return {REASONING: 1.0}
    for name, weight in given.items():
        if name not in METHODS:
            raise wrong(f"{field}.{name}", f"Unknown method; there are {', '.join(METHODS)}")
        fits = isinstance(weight, int | float) and not isinstance(weight, bool) and math.isfinite(weight)
        if not fits or not 0 <= weight <= _HEAVIEST:
            raise wrong(f"{field}.{name}", f"Weight must be a number from 0 to {_HEAVIEST}")
    above = {name: float(weight) for name, weight in given.items() if weight > 0}
    if not above:
        raise wrong(field, "At least one method must have a weight above 0")
    return above


def options(given: Mapping[str, Any], field: str, spelled: Callable[[str], str] = str) -> Options:
    """From those that were given, by the names of `Options`; `spelled` is how the face writes a name. Raises `Unprocessable`."""
    made = Options(**{name: value for name, value in given.items() if value is not None})
    accept, escalate = spelled("accept_threshold"), spelled("escalate_threshold")
    if made.accept_threshold <= made.escalate_threshold:
        raise wrong(f"{field}.{accept}", f"{accept} must be greater than {escalate}")
    least, again = spelled("min_confidence"), spelled("retry_on_low_confidence")
    if made.retry_on_low_confidence and made.min_confidence is None:
        raise wrong(f"{field}.{least}", f"{least} is required when {again} is true")
    return made


def free_object(value: dict[str, Any] | None, field: str) -> dict[str, Any]:
    """As it can be kept and shown to a model. Raises `Unprocessable`."""
    try:
        json.dumps(value or {}, allow_nan=False)  # orjson makes null of them
        raw = orjson.dumps(value or {})
    except (ValueError, TypeError, RecursionError) as error:  # or integers of more than 64 bits
        raise wrong(field, f"cannot be kept: {error}") from error
    if len(raw) > _LARGEST_OBJECT:
        raise wrong(field, f"must be at most {_LARGEST_OBJECT} bytes of JSON")
    require_storable(raw.decode(), field)
    if b"\\u0000" in raw:
        raise wrong(field, "holds a NUL character; remove it")
    return value or {}
