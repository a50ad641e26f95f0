"""Claims of tier A: terms with a verb between them, properties, and their combinations."""

from passel.workloads.verification.formal import dates
from passel.workloads.verification.formal.limits import Stuck, Unclear
from passel.workloads.verification.formal.reader import two_readings
from passel.workloads.verification.formal.terms import Terms
from passel.workloads.verification.formal.trees import (
    Between,
    Changes,
    Cmp,
    Day,
    Every,
    Formula,
    Is,
    Join,
    Measure,
    Not,
    Num,
    Op,
    Solves,
    Term,
    Var,
    variables,
)
from passel.workloads.verification.formal.units import ADJECTIVES, LESSER, fits

_SIGNS = {"=": "=", "<": "<", ">": ">", "<=": "<=", ">=": ">=", "!=": "!=", "~": "~"}
_IS = {"is", "are", "was", "were"}
_PLAIN = {
    "prime": "prime", "composite": "composite", "even": "even", "odd": "odd", "positive": "positive", "negative": "negative",
    "coprime": "coprime", "rational": "rational", "irrational": "irrational",
}  # fmt: skip
_NOUNS = {
    ("prime", "number"): "prime", ("prime",): "prime", ("composite", "number"): "composite", ("even", "number"): "even",
    ("odd", "number"): "odd", ("perfect", "square"): "square", ("square", "number"): "square", ("perfect", "cube"): "cube",
    ("leap", "year"): "leap", ("whole", "number"): "integer", ("integer",): "integer", ("positive", "number"): "positive",
    ("negative", "number"): "negative", ("rational", "number"): "rational", ("irrational", "number"): "irrational",
    ("prime", "numbers"): "prime", ("even", "numbers"): "even", ("odd", "numbers"): "odd", ("perfect", "squares"): "square",
    ("leap", "years"): "leap", ("composite", "numbers"): "composite",
}  # fmt: skip
_RELATED = {("multiple",): "multiple", ("factor",): "factor", ("divisor",): "factor", ("multiples",): "multiple", ("factors",): "factor"}
_ABOUT = {"about", "approximately", "roughly"}
_NEGATED = {
    "isn't": "is", "aren't": "are", "wasn't": "was", "weren't": "were",
}  # fmt: skip
_DOMAINS = {
    ("real", "numbers"): "real", ("real", "number"): "real", ("real",): "real", ("reals",): "real", ("integers",): "integer",
    ("integer",): "integer", ("numbers",): "real", ("number",): "real", ("positive", "integers"): "positive integer",
    ("positive", "integer"): "positive integer", ("positive", "real", "numbers"): "positive real", ("positive", "real"): "positive real",
    ("positive", "reals"): "positive real",
}  # fmt: skip


class Claims(Terms):
    def whole(self) -> Formula:
        tree = self.statement()
        self.finish()
        return tree

    def statement(self) -> Formula:
        """Clauses joined by one kind of word: two kinds would need brackets."""
        tree, subject = self.clause()
        word = ""
        while joiner := self.accept_one("and", "or"):
            if (word and word != joiner) or (not word and _joined(tree)):
                raise two_readings()
            word = joiner
            self.open = False
            if subject and self._property_ahead():
                if isinstance(tree, Not) or (isinstance(tree, Join) and isinstance(tree.right, Not)):
                    raise two_readings()
                more = self._property(subject)
            else:
                more, subject = self.clause()
            if isinstance(more, Join) and more.sign in ("if", "either"):
                raise two_readings()
            tree = Join(word, tree, more)
        return tree

    def _property_ahead(self) -> bool:
        at = self.at + (self.texts[self.at] == "not")
        text, more = self.texts[at], self.texts[at + 1] if at + 1 < len(self.texts) else ""
        return text in _PLAIN or text == "divisible" or (text in ("a", "an") and any(more == words[0] for words in (*_NOUNS, *_RELATED)))

    def clause(self) -> tuple[Formula, tuple[Term, ...]]:
        opening = _OPENINGS.get(self.texts[self.at])
        if opening:
            self.deeper()
            found = opening(self)
            self.depth -= 1
            if found is not None:
                return found, ()
        return self._plain_clause()

    # ---- openings ---------------------------------------------------------------------------------------------------

    def clause_if(self) -> Formula:
        self.at += 1
        if self.texts[self.at] == "if":
            raise two_readings()
        first = self._statement_until("then")
        if not self.accept("then"):
            raise self.stuck()
        second = self.statement()
        if _joined(second):
            raise two_readings()
        return Join("if", first, second)

    def _statement_until(self, word: str) -> Formula:
        tree = self.statement()
        if self.texts[self.at] == ",":
            self.at += 1
            if self.texts[self.at] != word:
                raise self.stuck()
        return tree

    def clause_either(self) -> Formula:
        self.at += 1
        first, _ = self.clause()
        self.expect("or")
        second, _ = self.clause()
        if self.texts[self.at] in ("and", "or"):
            raise two_readings()
        return Join("either", first, second)

    def clause_not(self) -> Formula:
        self.at += 1
        body, _ = self.clause()
        if self.texts[self.at] in ("and", "or"):
            raise two_readings()
        return Not(body)

    def clause_it(self) -> Formula:
        for words, negative in (
            (("not", "true", "that"), True),
            (("false", "that"), True),
            (("not", "the", "case", "that"), True),
            (("true", "that"), False),
        ):
            if self.accept("it", "is", *words):
                body = self.statement()
                if _joined(body):
                    raise two_readings()
                return Not(body) if negative else body
        raise self.stuck()

    def clause_for(self) -> Formula:
        self.at += 1
        if not self.accept_one("all", "every", "any", "each"):
            raise self.stuck()
        domain = "real"
        for words, name in _DOMAINS.items():
            if self.accept(*words):
                domain = name
                break
        names: list[str] = []
        while True:
            token = self.token()
            if token.kind != "word" or len(token.text) != 1 or token.written in ("i", "e", "I"):
                raise self.stuck()
            names.append(token.written)
            self.at += 1
            if self.accept("and") or (
                self.texts[self.at] == "," and len(self.texts[self.at + 1]) == 1 and self.tokens[self.at + 2].text == ","
            ):
                self.at += self.texts[self.at] == ","
                continue
            break
        if not self.accept_one(",", ":"):
            raise self.stuck()
        body = self.statement()
        if _joined(body):
            raise two_readings()
        for name in reversed(names):
            body = Every(name, domain, body)
        return body

    def clause_there(self) -> Formula:
        if not (self.accept("there", "are") or self.accept("there", "is")):
            raise self.stuck()
        count = self.raised()
        if isinstance(count, Measure):
            return self._contained(count)
        raise self.stuck()

    def _contained(self, count: Measure) -> Formula:
        if self.accept("between"):
            if count.unit.name != "d":
                raise self.stuck()
            days = self.listed()
            if len(days) != 2:
                raise self.stuck()
            return Is("days between", (*days, count.amount))
        self.expect("in")
        token = self.token()
        if token.text in dates.MONTHS:
            self.at += 1
            year = self.token()
            self.at += 1
            if year.kind != "number" or not isinstance(year.value, int) or count.unit.name != "d":
                raise self.stuck()
            return Cmp("=", count.amount, Num(dates.days_in(year.value, dates.MONTHS[token.text])))
        whole = self.raised()
        if not isinstance(whole, Measure):
            raise self.stuck()
        return Cmp("=", whole, count)

    def clause_between(self) -> Formula:
        """`between D and D are 60 days`"""
        self.at += 1
        days = self.listed()
        if len(days) != 2 or not (self.accept("there", "are") or self.accept("are")):
            raise self.stuck()
        count = self.raised()
        if not isinstance(count, Measure) or count.unit.name != "d":
            raise self.stuck()
        return Is("days between", (*days, count.amount))

    def clause_the(self) -> Formula | None:
        word = self.texts[self.at + 1]
        if word in ("solution", "solutions", "roots", "root") and self.texts[self.at + 2] in ("of", "to"):
            self.at += 3
            return self._solutions()
        if word in ("derivative", "integral") and self.texts[self.at + 2] == "of":
            self.at += 3
            return self._calculus(word)
        return None

    def clause_an(self) -> Formula | None:
        if self.accept("an", "antiderivative", "of"):
            return self._calculus("antiderivative")
        return None

    def _solutions(self) -> Formula:
        left = self.expression()
        self.expect("=")
        equation = Cmp("=", left, self.expression())
        names = variables(equation)
        if len(names) != 1 or not self.accept_one("is", "are"):
            raise self.stuck()
        if self.sees(names[0], "="):
            self.at += 2
        return Solves(equation, names[0], tuple(self.listed()), True)

    def _calculus(self, kind: str) -> Formula:
        of = self.expression()
        var = ""
        if self.accept("with", "respect", "to"):
            var = self.token().written
            self.at += 1
        bounds: tuple[Term, ...] = ()
        if kind == "integral":
            if not self.accept("from"):
                raise Unclear("An integral without bounds is known but for a constant.")
            low = self._argument()
            self.expect("to")
            bounds = (low, self._argument())
        if not self.accept_one("is", "=", "equals"):
            raise self.stuck()
        result = self.expression()
        names = variables(of)
        var = var or (names[0] if len(names) == 1 else variables(result)[0] if not names and variables(result) else "x")
        if (len(names) > 1 and not var) or any(name != var for name in (*names, *variables(result))):
            raise Unclear("It is not clear which variable is meant.")
        return Changes(kind, of, var, bounds, result)

    # ---- subject, verb and what is said of it -----------------------------------------------------------------------

    def _plain_clause(self) -> tuple[Formula, tuple[Term, ...]]:
        subject = self.expression()
        text = self.texts[self.at]
        if text in _SIGNS:
            return self._chain(subject), ()
        if text == "≡":
            return self._congruent(subject), ()
        if text in _IS or text in _NEGATED:
            negative = text in _NEGATED
            self.at += 1
            if negative and self.texts[self.at] == "not":
                raise two_readings()
            return self._said(subject, negative)
        if text == "exceeds":
            self.at += 1
            return Cmp(">", subject, self.expression()), ()
        if text in ("equals", "equal", "makes", "gives"):
            self.at += 1
            return self._equal(subject), ()
        if self.accept("does", "not", "equal") or self.accept("doesn't", "equal"):
            return Not(Cmp("=", subject, self.expression())), ()
        if text in ("and", ","):
            return self._several(subject)
        raise self.stuck()

    def _chain(self, left: Term) -> Formula:
        tree: Formula | None = None
        before = ""
        while sign := _SIGNS.get(self.texts[self.at]):
            self.at += 1
            right = self.expression()
            if (before and (sign[0] != before[0] and "=" not in (sign, before))) or ("!=" in (sign, before) and before):
                raise two_readings()
            link = self._solving(left, right) if sign == "=" and tree is None else None
            link = link or Cmp(sign, left, right)
            tree = link if tree is None else Join("chain", tree, link)
            left, before = right, sign
        assert tree
        return tree

    def _solving(self, left: Term, right: Term) -> Formula | None:
        """`x = 3 solves 2x + 1 = 7`"""
        solves = self.accept("solves") or self.accept("is", "a", "solution", "of") or self.accept("is", "a", "solution", "to")
        if not solves:
            return None
        if not isinstance(left, Var):
            raise self.stuck()
        one = self.expression()
        self.expect("=")
        equation = Cmp("=", one, self.expression())
        if variables(equation) != [left.name]:
            raise Unclear("It is not clear which variable is meant.")
        return Solves(equation, left.name, (right,), False)

    def _congruent(self, left: Term) -> Formula:
        self.at += 1
        right = self.expression()
        self.expect("(", "mod")
        modulus = self.expression()
        self.expect(")")
        return Is("congruent", (left, right, modulus))

    def _several(self, first: Term) -> tuple[Formula, tuple[Term, ...]]:
        """`2, 3 and 5 are prime`"""
        items = [first]
        while True:
            last = False
            if self.texts[self.at] == "," and not self.tokens[self.at + 1].glued:
                self.at += 1
                last = self.accept("and")
            elif self.accept("and"):
                last = True
            else:
                raise self.stuck()
            items.append(self.unary(first=False))
            if last:
                break
        self.expect("are")
        if self.texts[self.at] in ("not", "both", "all"):
            if self.accept("not"):
                raise two_readings()
            self.at += 1
        if self.accept("coprime") or self.accept("relatively", "prime"):
            if len(items) != 2:
                raise two_readings()
            return Is("coprime", tuple(items)), ()
        if not self._property_ahead() and not any(self.sees(*words) for words in (*_NOUNS, *_RELATED)):
            raise self.stuck()
        subject = tuple(items)
        return self._property(subject), subject

    def _property(self, subject: tuple[Term, ...]) -> Formula:
        negative = self.accept("not")
        article = self.accept_one("a", "an")
        found = None
        for term in subject:
            start = self.at
            one = self._one_property(term, article)
            if one is None:
                raise self.stuck()
            found = one if found is None else Join("chain", found, one)
            if term is not subject[-1]:
                self.at = start
        if found is None or (negative and len(subject) > 1):
            raise two_readings()
        return Not(found) if negative else found

    def _one_property(self, term: Term, article: str) -> Formula | None:
        text = self.texts[self.at]
        if not article and text in _PLAIN and self.texts[self.at + 1] not in ("number", "numbers"):
            if text == "coprime":
                return None
            self.at += 1
            return Is(_PLAIN[text], (term,))
        if not article and self.accept("divisible", "by"):
            return Is("multiple", (term, self._argument()))
        for words, name in _NOUNS.items():
            if text == words[0] and self.accept(*words):
                return Is(name, (term,))
        for words, name in _RELATED.items():
            if text == words[0] and self.accept(*words, "of"):
                return Is(name, (term, self._argument()))
        return None

    def _said(self, subject: Term, negative: bool) -> tuple[Formula, tuple[Term, ...]]:
        """What comes after `is`."""
        if self.accept("not"):
            if negative:
                raise two_readings()
            negative = True
        texts, at = self.texts, self.at
        text = texts[at]
        if text in ("not",):
            raise two_readings()
        if text in _PLAIN or text == "divisible" or (text in ("a", "an", "the")):
            article = text if text in ("a", "an") else ""
            if article:
                self.at += 1
                weekday = dates.WEEKDAYS.get(self.texts[self.at])
                if weekday is not None:
                    self.at += 1
                    return _maybe_not(Is("weekday", (subject, Num(weekday))), negative), ()
            found = self._one_property(subject, article) if text != "the" else None
            if found is not None:
                return _maybe_not(found, negative), (subject,)
            self.at = at
        if text in _ABOUT:
            self.at += 1
            return _maybe_not(Cmp("~", subject, self.expression()), negative), ()
        if text in ("strictly", "between"):
            strict = self.accept("strictly")
            self.expect("between")
            ends = self.listed_pair()
            return _maybe_not(Between(subject, *ends, strict), negative), ()
        if text in ADJECTIVES or text == "at" or text == "no" or text in ("after", "before", "later", "earlier"):
            return _maybe_not(self._compared(subject), negative), ()
        if self.accept("equal", "to") or self.accept("exactly"):
            return _maybe_not(Cmp("=", subject, self.expression()), negative), ()
        tree = self._equal(subject)
        return _maybe_not(tree, negative), ()

    def listed_pair(self) -> tuple[Term, Term]:
        low = self._argument()
        self.expect("and")
        return low, self._argument()

    def _compared(self, subject: Term) -> Formula:
        text = self.texts[self.at]
        self.at += 1
        if text == "at":
            sign = ">=" if self.accept("least") else "<=" if self.accept("most") else ""
            if not sign:
                raise self.stuck()
            return Cmp(sign, subject, self.expression())
        if text == "no":
            word = self.accept_one("more", "less", "greater", "fewer")
            if not word or not self.accept("than"):
                raise self.stuck()
            return Cmp(">=" if word in ("less", "fewer") else "<=", subject, self.expression())
        if text in ("after", "before", "later", "earlier"):
            if text in ("later", "earlier"):
                self.expect("than")
            right = self.expression()
            if not isinstance(right, Day):
                raise self.stuck()
            return Cmp(">" if text in ("after", "later") else "<", subject, right)
        self.expect("than")
        sign = "<" if text in LESSER else ">"
        if self.accept("or", "equal", "to"):
            sign += "="
        right = self.expression()
        for side in (subject, right):
            fitting = ADJECTIVES[text]
            if fitting and not (isinstance(side, Measure) and fits(text, side.unit.dimension)):
                raise Unclear(f"What is {text} does not go with these.")
        return Cmp(sign, subject, right)

    def _equal(self, left: Term) -> Formula:
        right = self.expression()
        if self.accept("with", "a", "remainder", "of") or self.accept("remainder") or self.accept("with", "remainder"):
            rest = self._argument()
            if not isinstance(left, Op) or left.sign != "/":
                raise self.stuck()
            return Is("remainder", (left.left, left.right, right, rest))
        if self.texts[self.at] in _SIGNS:
            raise two_readings()
        return Cmp("=", left, right)


def _joined(tree: Formula) -> bool:
    return isinstance(tree, Join) and tree.sign != "chain"


def _maybe_not(tree: Formula, negative: bool) -> Formula:
    return Not(tree) if negative else tree


_OPENINGS = {
    "if": Claims.clause_if, "either": Claims.clause_either, "not": Claims.clause_not, "it": Claims.clause_it, "for": Claims.clause_for, "there": Claims.clause_there,
    "between": Claims.clause_between, "the": Claims.clause_the, "an": Claims.clause_an,
}  # fmt: skip


def understood_further(one: Unclear, other: Unclear) -> Unclear:
    if isinstance(one, Stuck) and isinstance(other, Stuck):
        return one if one.at >= other.at else other
    return other if isinstance(one, Stuck) else one
