"""Terms: numbers, arithmetic in signs and words, measures, days.

The ends of what was said in words are open: in `half of 10 plus 4` nobody knows where the half ends, so an operator after
an open end is turned down. So are words of two levels in a row (`six plus two times four`)."""

from fractions import Fraction

from passel.workloads.verification.formal import dates, numerals
from passel.workloads.verification.formal.limits import DEPTH, NODES, TooLarge, Unclear
from passel.workloads.verification.formal.measures import Measures
from passel.workloads.verification.formal.reader import two_readings
from passel.workloads.verification.formal.tokens import Token
from passel.workloads.verification.formal.trees import Const, Day, Fn, Measure, Num, Op, Shift, Term, Var, holds_any
from passel.workloads.verification.formal.units import CELSIUS, FAHRENHEIT, UNITS

_FUNCTIONS = {
    "sqrt": "sqrt", "cbrt": "cbrt", "abs": "abs", "gcd": "gcd", "lcm": "lcm", "max": "max", "min": "min", "floor": "floor", "ceil": "ceil",
    "sin": "sin", "cos": "cos", "tan": "tan", "ln": "ln", "exp": "exp",
}  # fmt: skip
_TRIG = {"sin", "cos", "tan"}
_OF_ONE = {
    ("square", "root"): "sqrt", ("cube", "root"): "cbrt", ("absolute", "value"): "abs", ("factorial",): "factorial",
    ("number", "of", "divisors"): "divisors",
}  # fmt: skip
_OF_MANY = {
    ("sum",): "sum", ("product",): "product", ("average",): "mean", ("mean",): "mean", ("median",): "median", ("largest",): "max",
    ("maximum",): "max", ("smallest",): "min", ("minimum",): "min", ("greatest", "common", "divisor"): "gcd", ("gcd",): "gcd",
    ("greatest", "common", "factor"): "gcd", ("highest", "common", "factor"): "gcd", ("least", "common", "multiple"): "lcm",
    ("lowest", "common", "multiple"): "lcm", ("lcm",): "lcm",
}  # fmt: skip
_PRODUCTS = {"ab", "ac", "bc", "xy", "xz", "yz", "abc", "xyz"}
_ADD = {"+": "+", "-": "-", "plus": "+", "minus": "-"}
_PLACES = {"one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6}
_STEPS = {"integer": 1, "ten": 10, "hundred": 100, "thousand": 1000, "tenth": Fraction(1, 10), "hundredth": Fraction(1, 100)}
_TWO = Num(2)


class Terms(Measures):
    def __init__(self, tokens: list[Token], letters: bool) -> None:
        super().__init__(tokens, letters)
        if len(tokens) > NODES:
            raise TooLarge(f"more than {NODES} words and signs")
        self.open = False
        self.listing = False
        self.signed = False
        self.nested = 0

    # ---- sums and products ------------------------------------------------------------------------------------------

    def expression(self) -> Term:
        self.deeper()
        texts = self.texts
        self.open = False
        spoken, levels, divided, products = False, 0, False, 0
        total: Term | None = None
        sign = "+"
        while True:
            left = self.unary(first=total is None and not levels)
            while True:  # a product
                text = texts[self.at]
                words = ()
                if text in ("*", "/"):
                    op = text
                elif text == "times":
                    op, words = "*", ("times",)
                elif text in ("multiplied", "divided"):
                    op, words = ("*" if text == "multiplied" else "/"), (text, "by")
                elif text in ("mod", "modulo"):
                    op, words = "mod", (text,)
                elif self._implicit():
                    if divided or self.open:
                        raise two_readings()
                    left = Op("*", left, self.raised())
                    levels, products = levels | 2, products + 1
                    continue
                else:
                    break
                if self.open:
                    raise two_readings()
                if words:
                    if not self.accept(*words):
                        break
                    spoken = True
                else:
                    self.at += 1
                divided = divided or op != "*"
                levels, products = levels | 2, products + 1
                if (spoken or op == "mod") and divided and products > 1:
                    raise two_readings()
                left = Op(op, left, self.unary(first=False))
            total = left if total is None else Op(sign, total, left)
            text = texts[self.at]
            if text not in _ADD:
                break
            if self.open:
                raise two_readings()
            sign, levels, spoken = _ADD[text], levels | 1, spoken or len(text) > 1
            divided, products = (divided, products) if spoken else (False, 0)
            self.at += 1
        if spoken and levels == 3:
            raise two_readings()
        self.depth -= 1
        return self._rounded(total, levels)

    def _rounded(self, tree: Term, levels: int) -> Term:
        if not self.accept("rounded", "to"):
            return tree
        if levels and not (isinstance(tree, Op) and tree.sign == "/" and isinstance(tree.left, Num) and isinstance(tree.right, Num)):
            raise two_readings()
        if self.accept("the", "nearest"):
            step = self.accept_one("integer", "ten", "hundred", "thousand", "tenth", "hundredth") or (
                "integer" if self.accept("whole", "number") else ""
            )
            if not step:
                raise self.stuck()
            return Fn("round", (tree, Num(_STEPS[step])))
        token = self.token()
        places = _PLACES.get(token.text, token.value if token.kind == "number" else 0)
        self.at += 1
        if not isinstance(places, int) or not 0 < places < 100 or not self.accept("decimal"):
            raise self.stuck()
        if not self.accept_one("places", "place"):
            raise self.stuck()
        return Fn("round", (tree, Num(Fraction(1, 10**places))))

    def _implicit(self) -> bool:
        """Whether a factor follows without a sign between."""
        token = self.tokens[self.at]
        if token.kind == "word" and token.text in _FUNCTIONS and self.texts[self.at + 1] == "(":
            return True
        if token.kind == "word":
            return self._variable(token) and (token.glued or len(token.text) == 1) and (token.text != "a" or self._is_sign(self.at + 1))
        if token.text != "(" or self.texts[self.at + 1] == "mod":
            return False
        before = self.tokens[self.at - 1]
        return before.kind != "word" or self._variable(before)

    def _is_sign(self, at: int) -> bool:
        return self.tokens[at].kind in ("sign", "end")

    def _variable(self, token: Token) -> bool:
        text = token.text
        if token.kind != "word":
            return False
        return (len(text) == 1 and token.written not in ("i", "I")) or text in _PRODUCTS or text in ("pi", "sqrt", "sin", "cos", "ln")

    def unary(self, first: bool) -> Term:
        text = self.texts[self.at]
        if text not in ("-", "minus", "negative", "+"):
            self.signed = not first
            return self.raised()
        self.deeper()
        self.at += 1
        spoken = len(text) > 1
        if self.texts[self.at] in ("-", "+", "minus", "negative"):
            inner = self.unary(False)
        else:
            self.signed = True
            inner = self.raised()
        self.depth -= 1
        if spoken and not isinstance(inner, Num):
            raise two_readings()
        if text == "+":
            return inner
        return Num(-inner.value, inner.places) if isinstance(inner, Num) else self._negative(inner)

    def _negative(self, inner: Term) -> Term:
        if isinstance(inner, Measure) and isinstance(inner.amount, Num):
            return Measure(Num(-inner.amount.value, inner.amount.places), inner.unit)
        return Fn("neg", (inner,))

    def raised(self) -> Term:
        """With powers: from the right, and before a sign in front."""
        base = self.postfix()
        if self.texts[self.at] != "^":
            return base
        if self.open:
            raise two_readings()
        self.at += 1
        self.deeper()
        negative = 0
        while self.accept("-"):
            negative += 1
            if negative > DEPTH:
                raise TooLarge(f"nested more than {DEPTH} deep")
        signed, self.signed = self.signed, True
        exponent = self.raised()
        self.signed = signed
        if negative % 2:
            exponent = Num(-exponent.value) if isinstance(exponent, Num) else Fn("neg", (exponent,))
        self.depth -= 1
        if isinstance(base, Measure | Day):
            raise two_readings()
        return Op("^", base, exponent)

    # ---- what follows an operand ------------------------------------------------------------------------------------

    def postfix(self) -> Term:
        tree = self.primary()
        while True:
            token = self.tokens[self.at]
            text = token.text
            if text not in _POSTFIX or token.kind == "number":
                return tree
            if text == "!":
                tree = self._factorial(tree, token)
            elif text == "!=":
                if token.glued:
                    raise Unclear("'!=' after a number may be a factorial: a space would decide it.")
                return tree
            elif text in ("squared", "cubed"):
                self._spoken_end()
                self.at += 1
                tree = Op("^", tree, _TWO if text == "squared" else Num(3))
            elif text in ("%", "percent") or (text == "per" and self.sees("per", "cent")):
                if self.open:
                    raise two_readings()
                self.at += 2 if text == "per" else 1
                tree = self._percent(tree)
            elif text == "to" and self.accept("to", "the", "power"):
                self._spoken_end()
                self.accept("of")
                tree = Op("^", tree, self._argument())
            elif text == "choose" and isinstance(tree, Num):
                self.at += 1
                tree = Fn("choose", (tree, self._argument()))
            elif text in ("increased", "decreased", "reduced") and self.texts[self.at + 1] == "by":
                self._spoken_end()
                self.at += 2
                tree = Fn("increased" if text == "increased" else "decreased", (tree, self._argument()))
            else:
                return tree

    def _spoken_end(self) -> None:
        """Words after an operand: of it alone, or of all that stands before?"""
        if self.open or self.signed or self.nested:
            raise two_readings()

    def _factorial(self, tree: Term, token: Token) -> Term:
        if not token.glued or self.open:
            raise self.stuck()
        self.at += 1
        if self.texts[self.at] == "!" or self.tokens[self.at].kind == "end":
            raise Unclear("An exclamation mark there may be a factorial or not.")
        if self.texts[self.at] == "!=" and self.tokens[self.at].glued:
            raise Unclear("'!=' after a number may be a factorial: a space would decide it.")
        return Fn("factorial", (tree,))

    def _percent(self, tree: Term) -> Term:
        share = Fn("percent", (tree,))
        if self.accept("of"):
            return Op("*", share, self._argument())
        if self.accept("off"):
            return Fn("decreased", (self._argument(), share))
        return share

    def _argument(self) -> Term:
        """What a word such as `of` governs: one operand, whose end is open."""
        self.deeper()
        self.nested += 1
        self.open = False
        tree = self._item()
        self.nested -= 1
        self.depth -= 1
        self.open = True
        return tree

    def _item(self) -> Term:
        tree = self.unary(first=False)
        if isinstance(tree, Num) and self.texts[self.at] == "/" and self.token().glued and self.tokens[self.at + 1].kind == "number":
            self.at += 1
            below = self.tokens[self.at]
            self.at += 1
            tree = Op("/", tree, Num(below.value))
        return tree

    def listed(self) -> list[Term]:
        """`2, 3 and 5`."""
        before, self.listing = self.listing, True
        self.nested += 1
        items = [self._argument()]
        while True:
            if self.texts[self.at] == "," and not self.tokens[self.at + 1].glued:
                self.at += 1
                last = self.accept("and")
            elif self.accept("and"):
                last = True
            else:
                break
            items.append(self._argument())
            if last:
                break
        self.nested -= 1
        self.listing = before
        self.open = True
        return items

    # ---- operands ---------------------------------------------------------------------------------------------------

    def primary(self) -> Term:
        token = self.tokens[self.at]
        kind, text = token.kind, token.text
        if kind == "number":
            return self._numbered()
        if kind == "word":
            return self._word(token)
        if kind == "day":
            self.at += 1
            return Day(dates.parsed(text))
        if text == "(":
            return self._bracket("(", ")")
        if text == "|":
            return Fn("abs", (self._bracket("|", "|"),))
        if text == "√":
            self.deeper()
            self.at += 1
            tree = Fn("sqrt", (self.primary(),))
            self.depth -= 1
            return tree
        if text in ("$", "€"):
            self.at += 1
            if self.token().kind != "number":
                raise self.stuck()
            return Measure(self._plain(), UNITS["dollar" if text == "$" else "euro"])
        raise self.stuck()

    def _bracket(self, opening: str, closing: str) -> Term:
        self.expect(opening)
        outer = (self.signed, self.nested, self.listing)
        self.signed, self.nested, self.listing = False, 0, False
        tree = self.expression()
        self.expect(closing)
        self.signed, self.nested, self.listing = outer
        self.open = False
        return tree

    def _plain(self) -> Num:
        token = self.tokens[self.at]
        self.at += 1
        self.open = False
        return Num(token.value, token.places)

    def _numbered(self) -> Term:
        number = self._plain()
        ahead = self.tokens[self.at]
        if ahead.kind == "word":
            return self._after_number(number, ahead)
        if ahead.text == "°":
            return self._degrees(number)
        return number

    def _degrees(self, number: Term) -> Term:
        self.at += 1
        scale = self.token().written
        if scale in ("C", "F"):
            self.at += 1
            return Measure(number, CELSIUS if scale == "C" else FAHRENHEIT)
        return Fn("degrees", (number,))

    def _after_number(self, number: Num, ahead: Token) -> Term:
        text = ahead.text
        if text in dates.MONTHS and self.tokens[self.at + 1].kind == "number" and isinstance(number.value, int):
            self.at += 1
            year = self.token().value
            self.at += 1
            return Day(dates.day(_year(year), dates.MONTHS[text], number.value))
        if text in numerals.FRACTIONS and text != "second" and not ahead.glued and self.texts[self.at + 1] == "of":
            self.at += 2
            return Op("*", Num(Fraction(number.value) / numerals.FRACTIONS[text]), self._argument())
        if text in ("million", "thousand", "hundred", "billion") and self.tokens[self.at].kind == "word":
            if text == "billion":
                raise Unclear("A billion has two sizes.")
            self.at += 1
            value = Fraction(number.value * numerals.SCALES.get(text, 100))
            return self._maybe_measure(Num(value.numerator if value.denominator == 1 else value))
        return self._maybe_measure(number)

    def _maybe_measure(self, number: Num) -> Term:
        ahead = self.tokens[self.at]
        text = ahead.text
        if ahead.kind == "sign" and text == "°":
            return self._degrees(number)
        if text in _SHIFTS and self.texts[self.at + 1] in ("after", "before"):
            sign = 1 if self.texts[self.at + 1] == "after" else -1
            self.at += 2
            return Shift(self._argument(), number, _SHIFTS[text], sign)
        unit = self.unit()
        if unit is None:
            return number
        tree: Term = Measure(number, unit)
        while self.token().kind == "number" and unit.dimension in ((("length", 1),), (("time", 1),), (("mass", 1),)):
            amount = self._plain()
            smaller = self.unit()
            if smaller is None or smaller.dimension != unit.dimension or smaller.factor >= unit.factor:
                raise self.stuck()
            tree, unit = Op("+", tree, Measure(amount, smaller)), smaller
        if isinstance(tree, Op) and self.signed:
            raise two_readings()
        return tree

    # ---- words ------------------------------------------------------------------------------------------------------

    def _word(self, token: Token) -> Term:
        text = token.text
        if text in numerals.NUMERALS:
            return self._spelled()
        if text == "the":
            self.at += 1
            return self._named()
        if text in _FUNCTIONS and self.texts[self.at + 1] == "(":
            return self._call(_FUNCTIONS[text])
        if text == "frac":
            self.at += 1
            above = self._bracket("(", ")")
            below = self._bracket("(", ")")
            return Op("/", above, below)
        if text in dates.MONTHS and self.tokens[self.at + 1].kind == "number":
            return self._american()
        if text == "half" and self.accept("half", "of"):
            return Op("*", Num(Fraction(1, 2)), self._argument())
        if text in ("twice", "double", "triple"):
            self.at += 1
            return Op("*", Num(3 if text == "triple" else 2), self._argument())
        if text in ("a", "an") and self.tokens[self.at + 1].kind == "word" and not (text == "a" and self._factor_ahead()):
            return self._article()
        if text == "pi":
            self.at += 1
            self.open = False
            return Const("pi")
        if text in _PRODUCTS:
            self.at += 1
            self.open = False
            *rest, last = [Var(letter) for letter in token.written]
            tree: Term = last
            for letter in reversed(rest):
                tree = Op("*", letter, tree)
            if self.texts[self.at] != "^":
                return tree
            if len(rest) > 1:
                raise two_readings()
            self.at += 1
            return Op("*", rest[0], Op("^", last, self.raised()))
        if len(text) == 1:
            return self._letter(token)
        if text in (
            "sum",
            "product",
            "average",
            "mean",
            "median",
            "gcd",
            "lcm",
            "square",
            "cube",
            "factorial",
            "greatest",
            "least",
            "largest",
            "smallest",
        ):
            return self._named()
        raise self.stuck()

    def _factor_ahead(self) -> bool:
        ahead = self.tokens[self.at + 1]
        return (ahead.glued or len(ahead.text) == 1) and self._variable(ahead)

    def _letter(self, token: Token) -> Term:
        if token.written in ("i", "I"):
            raise Unclear("What i is is not known.")
        self.at += 1
        self.open = False
        if token.written == "e":
            return Const("e")
        if token.written in ("f", "g", "h", "F", "G", "H") and self.texts[self.at] == "(" and self.token().glued:
            raise Unclear(f"Which function {token.written} is is not known.")
        return Var(token.written)

    def _call(self, name: str) -> Term:
        self.at += 1
        self.deeper()
        if self.texts[self.at + 1] == ")":
            raise self.stuck()
        self.expect("(")
        outer = (self.signed, self.nested, self.listing)
        self.signed, self.nested, self.listing = False, 0, False
        args = [self.expression()]
        while self.accept(","):
            args.append(self.expression())
        self.expect(")")
        self.signed, self.nested, self.listing = outer
        self.open = False
        self.depth -= 1
        if len(args) > 1 and name not in ("gcd", "lcm", "max", "min"):
            raise self.stuck()
        if name in _TRIG:
            return Fn(name, (_angle(args[0]),))
        return Op("^", Const("e"), args[0]) if name == "exp" else Fn(name, tuple(args))

    def _spelled(self) -> Term:
        end = self.at
        words: list[str] = []
        for end in range(self.at, min(self.at + 30, len(self.tokens))):
            token = self.tokens[end]
            if token.kind != "word" and not (token.text == "-" and token.glued):
                break
            words.append(token.text)
        found = numerals.numeral(words)
        if found is None:
            raise self.stuck()
        value, taken, joined = found
        if joined and self.listing:
            raise two_readings()
        self.at += taken
        self.open = False
        ahead = self.token()
        number = Num(value, 0)
        if ahead.text in numerals.FRACTIONS and (self.texts[self.at + 1] == "of" or ahead.text not in ("second", "seconds")):
            share = Num(Fraction(value, numerals.FRACTIONS[ahead.text]))
            self.at += 1
            return Op("*", share, self._argument()) if self.accept("of") else share
        if ahead.kind == "word" and ahead.text in dates.MONTHS:
            raise self.stuck()
        if ahead.kind == "word" and ahead.text in numerals.NUMERALS:
            raise self.stuck()
        return self._maybe_measure(number) if ahead.kind == "word" else number

    def _american(self) -> Term:
        month = dates.MONTHS[self.token().text]
        self.at += 1
        day = self.token().value
        self.at += 1
        self.expect(",")
        if self.token().kind != "number" or not isinstance(day, int):
            raise self.stuck()
        year = self.token().value
        self.at += 1
        self.open = False
        return Day(dates.day(_year(year), month, day))

    def _article(self) -> Term:
        """`a mile`, `a third of 9`."""
        self.at += 1
        token = self.token()
        if token.text in numerals.FRACTIONS and self.texts[self.at + 1] == "of":
            self.at += 2
            return Op("*", Num(Fraction(1, numerals.FRACTIONS[token.text])), self._argument())
        if token.text in _SHIFTS and self.texts[self.at + 1] in ("after", "before"):
            return self._maybe_measure(Num(1, 0))
        unit = self.unit()
        if unit is None or (len(token.written) == 1):
            raise self.stuck()
        self.open = False
        return Measure(Num(1, 0), unit)

    def _named(self) -> Term:
        """After `the`."""
        if self.accept("sum", "of", "the", "digits", "of"):
            return Fn("digitsum", (self._argument(),))
        if self.accept("sum", "of", "the", "first"):
            return self._first()
        if self.accept("roman", "numeral"):
            value = numerals.roman(self.token().written)
            if value is None:
                raise self.stuck()
            self.at += 1
            return Num(value)
        if self.accept("difference", "between") or self.accept("difference", "of"):
            items = self.listed()
            if len(items) != 2:
                raise self.stuck()
            return Fn("difference", tuple(items))
        if self.accept("quotient", "of"):
            items = self.listed()
            if len(items) != 2:
                raise self.stuck()
            return Op("/", items[0], items[1])
        if self.texts[self.at] in ("increase", "decrease") or self.sees("percentage", "increase") or self.sees("percentage", "decrease"):
            return self._increase()
        if self.accept("square", "of"):
            return Op("^", self._argument(), _TWO)
        if self.accept("cube", "of"):
            return Op("^", self._argument(), Num(3))
        if self.accept("reciprocal", "of"):
            return Op("/", Num(1), self._argument())
        for words, name in _OF_MANY.items():
            if self.texts[self.at] == words[0] and self.accept(*words, "of"):
                return Fn(name, tuple(self.listed()))
        for words, name in _OF_ONE.items():
            if self.texts[self.at] == words[0] and self.accept(*words, "of"):
                return Fn(name, (self._argument(),))
        if self.token().kind == "number" and self.texts[self.at + 1] == "of":
            raise self.stuck()
        raise self.stuck()

    def _first(self) -> Term:
        if self.token().kind != "number":
            raise self.stuck()
        number = self._plain()
        if self.accept("natural", "numbers"):
            raise Unclear("The natural numbers begin with 0 or with 1.")
        if not (self.accept("positive", "integers") or self.accept("positive", "whole", "numbers")):
            raise self.stuck()
        self.open = True
        return Fn("firstsum", (number,))

    def _increase(self) -> Term:
        self.accept("percentage")
        name = "change" if self.accept_one("increase", "decrease") == "increase" else "drop"
        self.expect("from")
        start = self._argument()
        self.expect("to")
        end = self._argument()
        return Fn(name, (start, end))


_POSTFIX = {"!", "!=", "squared", "cubed", "%", "percent", "per", "to", "choose", "increased", "decreased", "reduced"}
_SHIFTS = {
    "day": "day", "days": "day", "week": "week", "weeks": "week", "month": "month", "months": "month", "year": "year", "years": "year",
}  # fmt: skip


def _year(value: int | Fraction) -> int:
    if not isinstance(value, int):
        raise Unclear("There is no such year.")
    return value


def _angle(tree: Term) -> Term:
    """An angle that says what it is in: degrees, or a multiple of pi, or a variable."""
    if isinstance(tree, Fn) and tree.name == "degrees":
        return Op("*", tree.args[0], Op("/", Const("pi"), Num(180)))
    if not holds_any(tree, (Var, Const)):
        raise Unclear("The angle may be in degrees or radians.")
    return tree
