"""How large a claim may be, and what a claim that is not decided raises.

Unclear           understood, and turned down: stands whatever else the words could have meant
  Stuck           this form does not fit: another may be tried
  TooLarge        beyond the limits
Handover          for a process that can afford sympy and z3
"""

TEXT = 2000
DIGITS = 10_000
EXPONENT = 10_000
FACTORIAL = 5000
DEPTH = 50
NODES = 2000
PREMISES = 100
SECONDS = 2.0
MEMORY = 512 << 20
BITS = 34_000  # a little more than DIGITS
TERMS = 3000  # of a polynomial that is multiplied out


class Unclear(Exception):
    """Why a claim is not decided, as a sentence."""

    @property
    def reason(self) -> str:
        return str(self.args[0])


class Stuck(Unclear):
    """`at` is how far it was understood: of several forms that do not fit, the one that went furthest has the best reason."""

    def __init__(self, reason: str, at: int = 0) -> None:
        super().__init__(reason)
        self.at = at


class TooLarge(Unclear):
    def __init__(self, what: str) -> None:
        super().__init__(f"Beyond the limits: {what}.")


class Handover(Exception):
    """This process answers at once or not at all."""


class _Process:
    quick = False


def only_quick() -> None:
    _Process.quick = True


def thorough() -> None:
    """Called before sympy or z3 is loaded."""
    if _Process.quick:
        raise Handover
