"""One plain sentence of tier C: quantified nouns, names, what is said of them, counts and comparisons."""

from fractions import Fraction

from passel.workloads.verification.formal.limits import Unclear
from passel.workloads.verification.formal.numerals import NUMERALS, SMALL
from passel.workloads.verification.formal.reader import Reader, two_readings
from passel.workloads.verification.formal.trees import Cmp, Every, Formula, Join, Not, Num, Op, Pred, Term, Var

_IRREGULAR = {
    "men": "man", "women": "woman", "people": "person", "children": "child", "mice": "mouse", "geese": "goose", "feet": "foot",
    "teeth": "tooth", "fish": "fish", "sheep": "sheep", "oxen": "ox", "wolves": "wolf", "knives": "knife", "wives": "wife",
    "lives": "life", "leaves": "leaf", "thieves": "thief", "elves": "elf", "halves": "half", "species": "species", "horses": "horse",
    "houses": "house", "noses": "nose", "roses": "rose", "buses": "bus", "shoes": "shoe", "movies": "movie", "cookies": "cookie",
}  # fmt: skip
_NO_NAMES = {
    "he", "she", "it", "they", "this", "that", "these", "those", "we", "you", "i", "who", "what", "which", "there", "one", "man", "most",
    "many", "few", "everyone", "everybody", "everything", "someone", "somebody", "something", "nobody", "nothing", "noone", "anyone",
    "anybody", "anything", "all", "every", "each", "some", "no", "only", "not", "if", "then", "either", "neither", "both", "a", "an",
    "the", "any", "much", "more", "less", "several", "another", "other", "others", "such", "half", "today", "yesterday", "tomorrow", "here", "his", "her", "its", "their", "my", "your", "our", "none",
}  # fmt: skip
_NO_PREDICATES = (_NO_NAMES - {"man"}) | {
    "because", "when", "while", "who", "more", "less", "very", "often", "usually", "always", "never", "sometimes", "probably", "likely",
    "almost", "nearly", "in", "on", "at", "of", "to", "than", "as", "and", "or", "but", "about", "possible", "impossible", "true", "false",
    "supposedly", "allegedly", "also", "too", "so", "still", "again", "soon", "now", "not", "is", "are", "has", "have", "can", "common",
    "rare", "numerous", "extinct", "widespread", "known", "believed", "said", "thought", "maybe", "perhaps",
}  # fmt: skip
_ORDERS = {
    word: (adjective, sign)
    for adjective, more, less in (
        ("old", "older", "younger"), ("tall", "taller", ""), ("heavy", "heavier", "lighter"), ("fast", "faster", "slower"),
        ("rich", "richer", "poorer"), ("big", "bigger", "smaller"), ("large", "larger", ""), ("strong", "stronger", "weaker"),
        ("hot", "hotter", "colder"), ("long", "longer", ""), ("high", "higher", "lower"), ("smart", "smarter", ""), ("wide", "wider", ""),
    )
    for word, sign in ((more, ">"), (less, "<"))
    if word
}  # fmt: skip
_WEATHER = {"rains": "it rains", "snows": "it snows", "rain": "it rains", "snow": "it snows"}
_TIMES = {"twice": 2, "half": Fraction(1, 2)}


_IE = {
    word
    for line in (
        "zombie brownie pixie selfie genie pie tie lie die movie cookie rookie calorie birdie hippie junkie prairie sortie collie auntie",
        "goalie smoothie veggie talkie foodie newbie budgie magpie lassie groupie bookie hoodie bogie caddie aussie yuppie",
    )
    for word in line.split()
}
_ODD_PLURALS = {"axes", "aches", "caches", "headaches", "niches"}


def singular(noun: str) -> str:
    """Unclear where the spelling leaves two of them."""
    if noun in _IRREGULAR:
        return _IRREGULAR[noun]
    if noun.endswith(("ous", "ss", "us", "is")) or not noun.endswith("s") or len(noun) < 3:
        return noun
    if noun.endswith("ies"):
        return noun[:-1] if noun[:-1] in _IE else noun[:-3] + "y"
    if noun.endswith(("sses", "shes", "ches", "xes")) and noun not in _ODD_PLURALS:
        return noun[:-2]
    if noun.endswith(("ses", "zes", "oes", "ves")) or noun in _ODD_PLURALS:
        raise Unclear(f"What one of {noun} is called is not known.")
    return noun[:-1]


class Phrase(Reader):
    """Has to be understood to its last token."""

    def whole(self) -> Formula:
        tree = self._sentence()
        self.finish()
        return tree

    def _sentence(self) -> Formula:
        text = self.texts[self.at]
        if len(self.tokens) == 2 and len(text) == 1 and self.token().kind == "word":
            self.at += 1
            return Pred(self.tokens[0].written)
        if text in ("all", "every", "each", "some", "no", "only") or self.sees("not", "all") or self.sees("not", "every"):
            return self._quantified()
        if text == "it":
            return self._weather()
        name = self._name()
        verb = self.texts[self.at]
        if verb == "has":
            self.at += 1
            return self._has(name)
        if verb in ("can", "cannot", "can't") and name.endswith("s"):
            raise Unclear(f"Whether {name!r} is one or many is not clear.")
        return self._verb(name, plural=False)

    def _weather(self) -> Formula:
        self.at += 1
        negative = self.accept("does", "not") or self.accept("doesn't")
        word = self.texts[self.at]
        if word not in _WEATHER or (word.endswith("s") == negative):
            raise Unclear("What `it` stands for is not known.")
        self.at += 1
        return _negated(Pred(_WEATHER[word]), negative)

    def _word(self, banned: set[str]) -> str:
        token = self.token()
        if token.kind != "word" or token.text in banned or "'" in token.text or len(token.text) < 2:
            raise self.stuck()
        self.at += 1
        return token.text

    def _name(self) -> str:
        if self.accept("the"):
            noun = self._word(_NO_PREDICATES)
            if singular(noun) != noun:
                raise Unclear(f"Which {noun} is not known.")
            return f"the {noun}"
        token = self.token()
        if token.kind == "word" and not token.written[0].isupper():
            raise self.stuck()
        self._word(_NO_NAMES | NUMERALS)
        return token.written

    # ---- all, some, no ----------------------------------------------------------------------------------------------

    def _quantified(self) -> Formula:
        negative = self.accept("not")
        word = self.texts[self.at]
        self.at += 1
        many = self._word(_NO_PREDICATES)
        noun = singular(many)
        if noun == many and noun not in _IRREGULAR and (word == "all" or self.texts[self.at] in ("are", "aren't")):
            raise Unclear(f"Whether {noun!r} is one or many is not clear.")
        said = self._verb("x", plural=True)
        if isinstance(said, Not) and word != "some":
            raise two_readings()
        kind = Pred(noun, ("x",))
        if word == "only":
            if negative or not isinstance(said, Pred):
                raise two_readings()
            kind, said = said, kind
        if word == "some":
            return Every("x", "thing", Join("and", kind, said), some=True)
        if word == "no":
            return Not(Every("x", "thing", Join("and", kind, said), some=True))
        return _negated(Every("x", "thing", Join("if", kind, said)), negative)

    # ---- what is said -----------------------------------------------------------------------------------------------

    def _verb(self, of: str, *, plural: bool) -> Formula:
        verb = self.texts[self.at]
        self.at += 1
        if verb in ("can", "cannot", "can't"):
            negative = verb != "can" or self.accept("not")
            return _negated(Pred(f"can {self._word(_NO_PREDICATES)}", (of,)), negative)
        if verb not in ("is", "isn't", "are", "aren't") or (verb.startswith("are") and not plural):
            self.at -= 1
            raise self.stuck()
        negative = verb.endswith("'t") or self.accept("not")
        return _negated(self._predicate(of, are=verb.startswith("are")), negative)

    def _predicate(self, of: str, *, are: bool) -> Formula:
        token = self.token()
        if token.text in _ORDERS and self.texts[self.at + 1] == "than":
            self.at += 2
            if of == "x":
                raise self.stuck()
            adjective, sign = _ORDERS[token.text]
            return Cmp(sign, Var(f"how {adjective} {of} is"), Var(f"how {adjective} {self._name()} is"))
        article = self.accept_one("a", "an")
        if article and are:
            raise self.stuck()
        token = self.token()
        if token.kind == "word" and token.written[0].isupper():
            raise Unclear(f"Whether {token.written} is a name or a property is not clear.")
        word = self._word(_NO_PREDICATES)
        return Pred(singular(word) if are else word, (of,))

    # ---- counts -----------------------------------------------------------------------------------------------------

    def _count(self) -> Num | None:
        token = self.token()
        value = token.value if token.kind == "number" else SMALL.get(token.text) if token.kind == "word" else None
        if value is None:
            return None
        self.at += 1
        return Num(value)

    def _has(self, name: str) -> Formula:
        times = _TIMES.get(self.texts[self.at])
        if times is not None and self.texts[self.at + 1] == "as":
            self.at += 1
            return self._as_many(name, Num(times))
        if self.texts[self.at] == "as":
            raise two_readings()
        number = self._count()
        if number is None:
            raise self.stuck()
        if self.accept("times"):
            return self._as_many(name, number)
        sign = {"more": "+", "fewer": "-"}.get(self.texts[self.at])
        if sign is None:
            noun = singular(self._word(_NO_PREDICATES))
            return Cmp("=", _counted(noun, name), number)
        self.at += 1
        noun = singular(self._word(_NO_PREDICATES))
        self.expect("than")
        return Cmp("=", _counted(noun, name), Op(sign, _counted(noun, self._name()), number))

    def _as_many(self, name: str, times: Num) -> Formula:
        self.expect("as", "many")
        noun = singular(self._word(_NO_PREDICATES))
        self.expect("as")
        return Cmp("=", _counted(noun, name), Op("*", times, _counted(noun, self._name())))

    def together(self) -> Formula | None:
        """`Anna and Ben have 9 apples together`"""
        if not (len(self.tokens) > 5 and self.texts[1] == "and" and self.texts[3] == "have"):
            return None
        one = self._name()
        self.expect("and")
        other = self._name()
        self.expect("have")
        number = self._count()
        if number is None:
            raise self.stuck()
        noun = singular(self._word(_NO_PREDICATES))
        if not (self.accept("together") or self.accept("altogether") or self.accept("in", "total")):
            self.finish()
            raise two_readings()
        self.finish()
        return Cmp("=", Op("+", _counted(noun, one), _counted(noun, other)), number)


def _counted(noun: str, name: str) -> Term:
    return Var(f"{noun} count of {name}")


def _negated(tree: Formula, negative: bool) -> Formula:
    return Not(tree) if negative else tree
