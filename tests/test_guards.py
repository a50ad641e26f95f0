"""What two sentences say about each other, pair by pair: the guards of the method `semantic`."""

import random
from fractions import Fraction

import pytest

from passel.workloads.verification.semantic.guards import AGREES, OPPOSES, OTHER, UNSURE, compare
from passel.workloads.verification.semantic.reading import read, stem
from passel.workloads.verification.semantic.words import FUNCTION, NEGATIONS, QUALIFIERS, SYMMETRIC
from tests.support.facts import HAND_WRITTEN_FACTS, HELD_OUT_FACTS, facts

PARIS = "Paris is the capital of France."
RHINE = "The Rhine is 1230 km long."

PAIRS = [
    # the same, in other words
    ("Paris is the capital of France", PARIS, AGREES, None),
    ("The capital of France is Paris", PARIS, AGREES, None),
    ("France's capital is Paris.", PARIS, AGREES, None),
    ("paris is the capital of france", "paris is the capital of france", AGREES, None),
    ("Spain borders France", "France borders Spain", AGREES, None),
    ("Alexander Fleming discovered penicillin", "Penicillin was discovered by Alexander Fleming", AGREES, None),
    ("Fleming discovered penicillin", "Penicillin was discovered by Alexander Fleming", AGREES, None),
    ("William Shakespeare wrote Hamlet", "Hamlet was written by William Shakespeare", AGREES, None),
    ("Neil Armstrong walked on the Moon", "Neil Armstrong walked on the Moon in 1969", AGREES, None),
    ("Australia is smaller than Canada", "Canada is larger than Australia", AGREES, "antonym"),
    # numbers
    ("The Rhine is 1,230 kilometres long", RHINE, AGREES, None),
    ("The Rhine is 1230000 m long", RHINE, AGREES, None),
    ("The Rhine is about 1200 km long", RHINE, AGREES, None),
    ("The Rhine is about 900 km long", RHINE, OPPOSES, "number"),
    ("The Rhine is 1320 km long", RHINE, OPPOSES, "number"),
    ("The Rhine is 1230 m long", RHINE, OPPOSES, "number"),
    ("The Rhine is 1230 kg long", RHINE, UNSURE, "number"),
    ("Everest is 8849 m high", "Everest is 8848.86 m high", AGREES, None),
    ("Everest is 8848.86 m high", "Everest is 8849 m high", OPPOSES, "number"),
    ("The heart has 4 chambers", "The heart has four chambers", AGREES, None),
    ("The heart has three chambers", "The heart has four chambers", OPPOSES, "number"),
    ("India has 1.4 billion people", "India has 1,400,000,000 people", AGREES, None),
    ("Water boils at 212 °F", "Water boils at 100 degrees Celsius", AGREES, None),
    ("Water boils at 90°C", "Water boils at 100 degrees Celsius", OPPOSES, "number"),
    ("The tax is 7 percent", "The tax is 19%", OPPOSES, "number"),
    ("The treaty was signed on 4 July 1776", "The treaty was signed on 1776-07-04", AGREES, None),
    ("The treaty was signed on 5 July 1776", "The treaty was signed on 1776-07-04", OPPOSES, "number"),
    ("The war ended in 1944", "The war ended in 1945", OPPOSES, "number"),
    ("France won the cup in 1998", "France won the cup in 2018", UNSURE, "number"),
    ("He came 2nd", "He came first", OPPOSES, "number"),
    ("The Rhine is more than 1000 km long", RHINE, OTHER, "qualifier"),
    ("The Rhine is more than 1230 km long", RHINE, UNSURE, "qualifier"),
    ("The Aster drill 12 weighs 5 kg", "The Aster drill 13 weighs 5 kg", OTHER, None),
    ("The Aster drill 13 weighs 6 kg", "The Aster drill 13 weighs 5 kg", OPPOSES, "number"),
    ("Apollo 12 landed on the Moon", "Apollo 11 landed on the Moon", OTHER, None),
    ("The X300 weighs 2 kg", "The X200 weighs 2 kg", OTHER, None),
    ("The train departs from platform 5", "The train departs from platform 4", OPPOSES, "number"),
    # names
    ("Lyon is the capital of France", PARIS, OPPOSES, "name"),
    ("Paris is the capital of Germany", PARIS, UNSURE, "name"),
    ("Berlin is the capital of Germany", PARIS, OTHER, None),
    ("Lyon is in France", "Paris is in France", UNSURE, "name"),
    ("The river Elbe flows through Germany", "The river Rhine flows through Germany", UNSURE, "name"),
    ("Guinea is in Africa", "Equatorial Guinea is in Africa", UNSURE, "name"),
    ("Einstein was born in Berlin", "Albert Einstein was born in Ulm", OPPOSES, "name"),
    ("Goethe was born in Ulm", "Einstein was born in Ulm", UNSURE, "name"),
    ("Hamlet was written by Marlowe", "Hamlet was written by William Shakespeare", OPPOSES, "name"),
    ("Macbeth was written by Shakespeare", "Hamlet was written by Shakespeare", UNSURE, "name"),
    ("Be is the chemical symbol of silver", "The chemical symbol of silver is Ag", OPPOSES, "name"),
    ("The Mona Lisa was painted by Michelangelo", "The Mona Lisa was painted by Leonardo da Vinci", OPPOSES, "name"),
    # roles
    ("France is the capital of Paris", PARIS, OPPOSES, "roles"),
    ("Germany is larger than France", "France is larger than Germany", OPPOSES, "roles"),
    ("Poland invaded Germany", "Germany invaded Poland", UNSURE, "roles"),
    ("Penicillin discovered Alexander Fleming", "Penicillin was discovered by Alexander Fleming", UNSURE, "roles"),
    ("Cats chase dogs", "Dogs chase cats", UNSURE, "roles"),
    # negation
    ("Paris is not the capital of France", PARIS, OPPOSES, "negation"),
    ("Paris isn't the capital of France", PARIS, OPPOSES, "negation"),
    ("It is false that Paris is the capital of France", PARIS, OPPOSES, "negation"),
    ("It is not false that Paris is the capital of France", PARIS, AGREES, None),
    ("Paris cannot be the capital of France", PARIS, OPPOSES, "negation"),
    ("Lyon is not the capital of France", PARIS, AGREES, "name"),
    ("Lyon is the capital of France", "Paris is not the capital of France", UNSURE, "name"),
    ("Vaccines cause autism", "Vaccines do not cause autism", OPPOSES, "negation"),
    ("Vaccines don't cause autism", "Vaccines do not cause autism", AGREES, None),
    ("No vaccines cause autism", "Vaccines do not cause autism", UNSURE, "negation"),
    ("The Rhine is not 900 km long", RHINE, AGREES, "number"),
    ("Passwords are shared and not encrypted", "Passwords are not shared and encrypted", UNSURE, "negation"),
    ("Passwords must be shared and be printed", "Passwords must not be shared and not be printed", UNSURE, "negation"),
    ("It's not true that vaccines cause autism", "Vaccines do not cause autism", AGREES, None),
    ("It is true that Lyon is the capital of France", PARIS, OPPOSES, "name"),
    ("It is wrong that Lyon is the capital of France", PARIS, AGREES, "name"),
    ("Lyon is the capital of France", "It is wrong that Paris is the capital of France", UNSURE, "negation"),
    # facts that say several things
    ("Berlin is the capital of Germany", "Paris is the capital of France and Berlin is the capital of Germany", AGREES, None),
    ("Paris is the capital of Germany", "Paris is the capital of France and Berlin is the capital of Germany", UNSURE, None),
    ("Berlin is the capital of France", "Paris is the capital of France and Berlin is the capital of Germany", UNSURE, None),
    ("The battery lasts 12 hours", "The battery lasts 12 hours and charges in 2 hours", AGREES, None),
    ("The battery lasts 2 hours", "The battery lasts 12 hours and charges in 2 hours", UNSURE, None),
    ("The car has 5 doors and 4 seats", "The car has 4 doors and 5 seats", OTHER, None),
    ("We are open from 17 to 9", "We are open from 9 to 17", UNSURE, "number"),
    ("Entry is free for children over 6", "Entry is free for children under 6", UNSURE, "qualifier"),
    ("Bonn is the capital of Germany", "Bonn was the capital of Germany", UNSURE, "qualifier"),
    ("Paris", PARIS, UNSURE, "words"),
    ("It is so.", PARIS, UNSURE, None),
    # antonyms, added words, hedges
    ("Jupiter is the smallest planet", "Jupiter is the largest planet", OPPOSES, "antonym"),
    ("Jupiter is not the smallest planet", "Jupiter is the largest planet", AGREES, "antonym"),
    ("Jupiter is the second largest planet", "Jupiter is the largest planet", UNSURE, "words"),
    ("The Amazon is the longest river", "The Amazon is the second longest river", UNSURE, "words"),
    ("Sydney is the largest city", "Sydney is the largest city in Australia", UNSURE, "words"),
    ("Paris is the former capital of France", PARIS, UNSURE, "qualifier"),
    ("All swans are white", "Some swans are white", UNSURE, "qualifier"),
    ("The drug cures flu", "The drug may cure flu", UNSURE, "qualifier"),
    ("Bats are blind mammals", "Bats are mammals", UNSURE, "words"),
    ("Gold is a gas", "Gold is a metal", OTHER, None),
    ("Paris is the largest city of France", PARIS, OTHER, None),
    ("This is the capital of France", PARIS, UNSURE, "reference"),
    ("He is the chemical symbol of silver", "The chemical symbol of silver is Ag", UNSURE, "reference"),
    ("It is the capital of France", PARIS, UNSURE, "reference"),
    ("My dog is brown", PARIS, OTHER, None),
]  # fmt: skip


@pytest.mark.parametrize(("claim", "fact", "kind", "guard"), PAIRS)
def test_what_a_fact_says_of_a_claim(claim: str, fact: str, kind: str, guard: str | None) -> None:
    found = compare(read(claim), read(fact))
    assert found.kind == kind and (guard is None or found.guard == guard), found


WHOLE = sorted({text for claim, fact, *_ in PAIRS for text in (claim, fact) if len(text) > 10})


@pytest.mark.parametrize("text", WHOLE)
def test_a_sentence_agrees_with_itself_and_opposes_its_denial(text: str) -> None:
    assert compare(read(text), read(text)).kind == AGREES
    assert compare(read(f"It is untrue that {text}"), read(text)).kind == OPPOSES


def test_nothing_is_read_that_is_not_there() -> None:
    for text in ("", "?!", "°", "- - -", "'s", "1e9999", "9" * 500, "\u200b", "一 二 三", "the of and"):
        read(text)
    assert [one.value for one in read("It weighs 1.5 kg, or 3 lb").quantities] == [Fraction(3, 2), 3 * Fraction(45359237, 100000000)]
    assert [one.kind for one in read("in 1990 the 3rd of 12, 5% of 2500 m").quantities] == ["year", "ordinal", "number", "%", "length1"]
    assert [stem(word) for word in ("Cities", "boxes", "glasses", "Paris's", "bus", "cats", "gas")] == [
        "city", "box", "glass", "paris", "bus", "cat", "gas",
    ]  # fmt: skip


KNOWN = [*facts(), *HAND_WRITTEN_FACTS, *HELD_OUT_FACTS]


def test_a_fact_with_another_word_is_never_agreed_with() -> None:
    """Each word of each fact in turn is replaced by one of another fact."""
    r = random.Random(7)
    tried = 0
    for text in KNOWN:
        words = text.rstrip(".").split()
        for n, word in enumerate(words):
            strange = r.choice([other for other in r.choice(KNOWN).rstrip(".").split() if stem(other) not in map(stem, words)] or ["zebra"])
            if {strange.lower(), word.lower()} & (FUNCTION | NEGATIONS | QUALIFIERS) or _is_same_number(word, strange):
                continue
            claim = " ".join([*words[:n], strange, *words[n + 1 :]])
            assert compare(read(claim), read(text)).kind != AGREES, (claim, text)
            tried += 1
    assert tried > 800


def _is_same_number(one: str, other: str) -> bool:
    return bool(read(one).quantities) and read(one).quantities == read(other).quantities


def test_a_fact_with_two_names_exchanged_is_never_agreed_with() -> None:
    tried = 0
    for text in KNOWN:
        words = text.rstrip(".").replace("'s", " 's").split()
        names = [n for n, word in enumerate(words) if n > 0 and word[0].isupper()]
        if len(names) != 1 or not words[0][0].isupper() or words[0] in ("The", "Our") or SYMMETRIC & set(words):
            continue
        words[0], words[names[0]] = words[names[0]], words[0]
        assert compare(read(" ".join(words).replace(" 's", "'s")), read(text)).kind != AGREES, (words, text)
        tried += 1
    assert tried > 30
