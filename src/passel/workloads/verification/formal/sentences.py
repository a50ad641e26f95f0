"""Sentences of tier C: plain ones (`phrases`, and comparisons as in tier A) and what joins them."""

from passel.workloads.verification.formal.claims import Claims
from passel.workloads.verification.formal.limits import Stuck
from passel.workloads.verification.formal.phrases import Phrase
from passel.workloads.verification.formal.reader import Reader, two_readings
from passel.workloads.verification.formal.tokens import Token, tokens
from passel.workloads.verification.formal.trees import Formula, Join, Not

_JOINERS = (
    (("and",), "and"), (("or",), "or"), (("->",), "if"), (("implies",), "if"), (("only", "if"), "if"), (("if", "and", "only", "if"), "iff"),
    (("iff",), "iff"), (("<->",), "iff"), (("if",), "reversed"),
)  # fmt: skip
_ENDS = {"and", "or", "then", ",", "->", "<->", "iff", "implies", "if", "(", ")", "only", "either"}
_COMPARED = {"=", "<", ">", "<=", ">=", "!="}
_NEGATIONS = (("it", "is", "not", "true", "that"), ("it", "is", "false", "that"), ("it", "is", "not", "the", "case", "that"))
_END = Token("end", "")


def sentence(text: str) -> Formula:
    found = tokens(text.strip(" \t\r\n"))
    if len(found) > 1 and found[-2].text == ".":
        del found[-2]
    if len(found) == 1:
        raise Stuck("Nothing is said.")
    together = Phrase(found).together() if len(found) > 5 else None
    if together is not None:
        return together
    reader = Sentences(found)
    tree = reader.joined()
    reader.finish()
    return tree


class Sentences(Reader):
    def joined(self) -> Formula:
        tree, before = self._one(), ""
        while sign := self._joiner():
            if before and (sign != before or sign not in ("and", "or")):
                raise two_readings()
            if not before and self._loose(tree):
                raise two_readings()
            right = self._one()
            if self._loose(right):
                raise two_readings()
            tree, before = (Join("if", right, tree) if sign == "reversed" else Join(sign, tree, right)), sign
        return tree

    def _joiner(self) -> str:
        return next((sign for words, sign in _JOINERS if self.accept(*words)), "")

    def _loose(self, tree: Formula) -> bool:
        """Something joined that no brackets hold together."""
        return isinstance(tree, Join) and tree.sign != "chain" and self.texts[self.at - 1] != ")" and not self._closed

    _closed = False

    def _one(self) -> Formula:
        self.deeper()
        self._closed = False
        try:
            if self.accept("if"):
                return self._if()
            if self.accept("either"):
                return self._either()
            if self.texts[self.at] == "not" and self.texts[self.at + 1] not in ("all", "every"):
                self.at += 1
                return self._not()
            for words in _NEGATIONS:
                if self.accept(*words):
                    body = self.joined()
                    if isinstance(body, Join):
                        raise two_readings()
                    return Not(body)
            if self.texts[self.at] == "(" and not self._is_comparison():
                return self._bracketed()
            return self._plain()
        finally:
            self.depth -= 1

    def _bracketed(self) -> Formula:
        self.expect("(")
        tree = self.joined()
        self.expect(")")
        self._closed = True
        return tree

    def _if(self) -> Formula:
        first = self._side()
        self.accept(",")
        if not self.accept("then") and self.texts[self.at - 1] != ",":
            raise self.stuck()
        second = self._side()
        self._closed = False
        if self.texts[self.at] not in (")", "", ","):
            raise two_readings()
        return Join("if", first, second)

    def _side(self) -> Formula:
        """Of an `if`: joined by one kind of word, but no further `if`."""
        if self.texts[self.at] in ("if", "either"):
            raise two_readings()
        return self.joined()

    def _either(self) -> Formula:
        first = self._one()
        self.expect("or")
        second = self._one()
        self._closed = False
        if self.texts[self.at] not in (")", "", ",", "then"):
            raise two_readings()
        return Join("either", first, second)

    def _not(self) -> Formula:
        body = self._one()
        if isinstance(body, Join) and body.sign != "chain" and not self._closed:
            raise two_readings()
        if not self._closed and self.texts[self.at] in ("and", "or", "->", "<->", "iff", "implies", "only", "if"):
            raise two_readings()
        self._closed = False
        return Not(body)

    # ---- plain ones -------------------------------------------------------------------------------------------------

    def _span(self) -> int:
        """Where the plain sentence that begins here ends."""
        at, level = self.at, 0
        while self.tokens[at].kind != "end":
            text = self.texts[at]
            if level == 0 and text in _ENDS - {"("} and not (text == "only" and at == self.at):
                break
            level += (text == "(") - (text == ")")
            at += 1
        return at

    def _is_comparison(self) -> bool:
        return any(text in _COMPARED for text in self.texts[self.at : self._span()]) and not self._logical()

    def _logical(self) -> bool:
        """Whether the brackets that begin here hold sentences."""
        level = 0
        for at in range(self.at, len(self.tokens)):
            level += (self.texts[at] == "(") - (self.texts[at] == ")")
            if self.texts[at] in _COMPARED or self.texts[at] in _ENDS - {"(", ")", ","}:
                return level > 0
            if level == 0:
                return False
        return False

    def _plain(self) -> Formula:
        end = self._span()
        part = [*self.tokens[self.at : end], _END]
        if len(part) == 1:
            raise self.stuck()
        reader = Claims(part, letters=True) if self._numeric(end) else Phrase(part)
        try:
            tree = reader.whole()
        except Stuck as stuck:
            raise Stuck(stuck.reason, self.at + stuck.at) from None
        self.at = end
        return tree

    def _numeric(self, end: int) -> bool:
        return self.tokens[self.at].kind != "word" or any(text in _COMPARED for text in self.texts[self.at : end])
