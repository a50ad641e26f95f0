"""What all readers of tokens share: where they are, what is next, and how they give up."""

from passel.workloads.verification.formal.limits import DEPTH, Stuck, TooLarge, Unclear
from passel.workloads.verification.formal.tokens import Token

TWO_READINGS = "There is more than one way to read this; brackets would decide it."


class Reader:
    def __init__(self, tokens: list[Token]) -> None:
        self.tokens = tokens
        self.texts = [token.text if token.kind != "number" else "#" for token in tokens]
        self.at = 0
        self.depth = 0

    def token(self) -> Token:
        return self.tokens[self.at]

    def accept(self, *words: str) -> bool:
        at = self.at
        if self.texts[at] != words[0]:
            return False
        end = at + len(words)
        if len(words) > 1 and tuple(self.texts[at:end]) != words:
            return False
        self.at = end
        return True

    def accept_one(self, *words: str) -> str:
        if self.texts[self.at] in words:
            self.at += 1
            return self.texts[self.at - 1]
        return ""

    def expect(self, *words: str) -> None:
        if not self.accept(*words):
            raise self.stuck()

    def sees(self, *words: str) -> bool:
        return tuple(self.texts[self.at : self.at + len(words)]) == words

    def stuck(self) -> Stuck:
        token = self.tokens[self.at]
        if token.kind == "end":
            return Stuck("Not understood: something is missing at the end.", self.at)
        return Stuck(f"Not understood from {(token.written or token.text)[:40]!r} on.", self.at)

    def finish(self) -> None:
        if self.tokens[self.at].kind != "end":
            raise self.stuck()

    def deeper(self) -> None:
        self.depth += 1
        if self.depth > DEPTH:
            raise TooLarge(f"nested more than {DEPTH} deep")


def two_readings() -> Unclear:
    return Unclear(TWO_READINGS)
