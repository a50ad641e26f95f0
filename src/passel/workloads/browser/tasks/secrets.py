"""Secret values of a task: the model knows them by name alone, and whatever it is told has their names in their places. Pure."""

import json
import re
from collections.abc import Mapping
from urllib.parse import quote, quote_plus

_SHORTEST = 3
"""Shorter ones are on every page; hiding them would hide nothing and spoil all of it."""
_CUT = "…"
_NAMED = re.compile(r"<secret:([^<>]{1,200})>")


class UnknownSecret(Exception):
    """There is no secret of this name; the message says which there are."""


class Secrets:
    def __init__(self, values: Mapping[str, str]) -> None:
        self._values = dict(values)
        told = {spelling: name for name, value in values.items() for spelling in _spellings(value)}
        self._told = sorted(told.items(), key=lambda one: -len(one[0]))

    @property
    def names(self) -> list[str]:
        return sorted(self._values)

    def hide(self, text: str) -> str:
        """Also where a text was cut off in the middle of one."""
        for spelling, name in self._told:
            text = text.replace(spelling, f"<secret:{name}>")
        if not self._told or _CUT not in text:
            return text
        parts = text.split(_CUT)
        return _CUT.join([*map(self._hide_begun, parts[:-1]), parts[-1]])

    def _hide_begun(self, text: str) -> str:
        for spelling, name in self._told:
            for length in range(len(spelling) - 1, _SHORTEST - 1, -1):
                if text.endswith(spelling[:length]):
                    return f"{text[:-length]}<secret:{name}>"
        return text

    def reveal(self, text: str) -> str:
        """With the values in the places of the names. Raises `UnknownSecret`."""
        return _NAMED.sub(lambda found: self._value(found[1]), text)

    def _value(self, name: str) -> str:
        if name not in self._values:
            raise UnknownSecret(f"there is no secret {name}; there are {', '.join(self.names) or 'none'}")
        return self._values[name]


def _spellings(value: str) -> set[str]:
    """As pages, addresses and quoted texts have it."""
    found = {
        value,
        " ".join(value.split()),
        quote(value, safe=""),
        quote(value),
        quote_plus(value),
        json.dumps(value, ensure_ascii=False)[1:-1],
    }
    return {one for one in found if len(one) >= _SHORTEST}
