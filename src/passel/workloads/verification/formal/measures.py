"""Units after numbers: `km/h`, `metres per second`, `m^2`, `square metres`."""

from passel.workloads.verification.formal.limits import Unclear
from passel.workloads.verification.formal.reader import Reader, two_readings
from passel.workloads.verification.formal.tokens import Token
from passel.workloads.verification.formal.units import AMBIGUOUS, SYMBOLS_ONLY, UNITS, Unit, per, power


class Measures(Reader):
    def __init__(self, tokens: list[Token], letters: bool) -> None:
        """`letters`: `5 m` is a length; else m is a variable. `lettered` says whether it mattered."""
        super().__init__(tokens)
        self.letters, self.lettered = letters, False

    def unit(self) -> Unit | None:
        unit = self._one_unit()
        if unit is None:
            return None
        if self.texts[self.at] == "per" or (self.texts[self.at] == "/" and self.token().glued and self._unit_at(self.at + 1)):
            self.at += 1
            below = self._one_unit()
            if below is None:
                raise self.stuck()
            if self.texts[self.at] == "/" and self._unit_at(self.at + 1):
                raise two_readings()
            return per(unit, below)
        return unit

    def _one_unit(self) -> Unit | None:
        n = 1
        if self.texts[self.at] in ("square", "cubic") and self._unit_at(self.at + 1):
            n = 2 if self.texts[self.at] == "square" else 3
            self.at += 1
        unit = self._unit_at(self.at)
        if unit is None:
            return None
        self.at += 1
        if n == 1 and self.texts[self.at] == "^" and self.tokens[self.at].glued and self.tokens[self.at + 1].text in ("2", "3"):
            n = int(self.tokens[self.at + 1].value)
            self.at += 2
        return power(unit, n) if n > 1 else unit

    def _unit_at(self, at: int) -> Unit | None:
        token = self.tokens[at]
        if token.kind != "word":
            return None
        text = token.text
        unit = UNITS.get(token.written)
        if unit is None and (len(text) > 3 or text == token.written):
            unit = UNITS.get(text)
        if unit is None and token.written == "L":
            unit = UNITS["l"]
        if unit is not None and text in SYMBOLS_ONLY:
            self.lettered = True
            return unit if self.letters and token.written in ("m", "s", "g", "h", "l", "L") else None
        if unit is None and text in AMBIGUOUS:
            raise Unclear(f"{token.written} is ambiguous: {AMBIGUOUS[text]}.")
        return unit
