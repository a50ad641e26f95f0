"""What a passage says of a claim: by its words, or by a model, whose quotation has to stand in the passage."""

import re
from collections.abc import Sequence
from typing import NamedTuple

from passel.workloads.verification.answers import Fields, Misread, structured, text_of
from passel.workloads.verification.methods import Work
from passel.workloads.verification.prompts import TEXT, question, record
from passel.workloads.verification.semantic.guards import AGREES, OPPOSES, Relation, compare
from passel.workloads.verification.semantic.reading import Reading, read
from passel.workloads.verification.tool.assertions import assertion
from passel.workloads.verification.tool.votes import NEUTRAL, REFUTES, SUPPORTS

_LONGEST_SENTENCE = 600
_JUDGE = """You compare a claim with passages that were found, one by one. Say of each whether it "supports" the claim, "refutes" it, or is \
"neutral" because it says nothing certain about it; with the words of the passage that show it, copied exactly. Go by what the passage \
says, not by what you know."""
_FORM = '{"stances": [{"passage": 1, "stance": "supports", "quote": "..."}]}'


class Stance(NamedTuple):
    stance: str
    quote: str


def by_words(claim: str, sentences: Sequence[str]) -> Stance:
    """A sentence that asserts the claim, or its contrary; the guards of `semantic` decide, and doubt is neutral. So is a passage
    that asserts both, unless it only has another value beside the claim's."""
    reading = read(claim)
    pro: str | None = None
    con: str | None = None
    denied = False
    for sentence, following in zip(sentences, (*sentences[1:], ""), strict=False):
        relation = _relation(claim, reading, sentence, following)
        if relation is None:
            continue
        if relation.kind == AGREES:
            pro = pro or sentence
        elif relation.kind == OPPOSES:
            con, denied = con or sentence, denied or not relation.by_value
    if pro is not None:
        return Stance(NEUTRAL, "") if denied else Stance(SUPPORTS, pro)
    return Stance(NEUTRAL, "") if con is None else Stance(REFUTES, con)


def _relation(claim: str, reading: Reading, sentence: str, following: str) -> Relation | None:
    """None where a sentence asserts nothing of the claim."""
    asserted = assertion(claim, sentence, following) if len(sentence) <= _LONGEST_SENTENCE else None
    if asserted is None:
        return None
    relation = compare(reading, read(asserted.text))
    if not asserted.denied:
        return relation
    return Relation(OPPOSES, relation.guard) if relation.kind == AGREES else None  # that another thing is untrue says nothing


async def by_model(work: Work, name: str, passages: Sequence[str]) -> list[Stance]:
    """Of each passage. What a model quotes and the passage does not say is dropped with its stance."""
    texts = {"claim": work.claim.content} | {f"passage {n}": passage for n, passage in enumerate(passages, 1)}
    one = record(passage={"type": "integer"}, stance={"type": "string", "enum": [SUPPORTS, REFUTES, NEUTRAL]}, quote=TEXT)
    asked = question(_JUDGE, _FORM, record(stances={"type": "array", "items": one}), texts)
    return await structured(work.models, name, asked, lambda fields: stances_of(fields, passages))


def stances_of(fields: Fields, passages: Sequence[str]) -> list[Stance]:
    value = fields.get("stances")
    if not isinstance(value, list):
        raise Misread("stances must be a list")
    found = [Stance(NEUTRAL, "")] * len(passages)
    for one in value:
        if not isinstance(one, dict):
            raise Misread("each stance must be an object")
        told: Fields = one
        number, stance = told.get("passage"), told.get("stance")
        if isinstance(number, bool) or not isinstance(number, int) or not 1 <= number <= len(passages):
            raise Misread(f"passage must be a number from 1 to {len(passages)}")
        if stance not in (SUPPORTS, REFUTES, NEUTRAL):
            raise Misread(f"stance must be {SUPPORTS}, {REFUTES} or {NEUTRAL}")
        quote = text_of(told, "quote") if stance != NEUTRAL else ""
        if stance != NEUTRAL and stands_in(quote, passages[number - 1]):
            found[number - 1] = Stance(stance, quote)
    return found


def stands_in(quote: str, passage: str) -> bool:
    """Word for word, whatever the white space and the quotation marks."""
    wanted = _plain(quote)
    return len(wanted) >= 3 and wanted in _plain(passage)


def _plain(text: str) -> str:
    text = text.translate(str.maketrans("“”„«»’‘", '"""""\'\''))
    return re.sub(r"\s+", " ", text).strip(' ".…').casefold()
