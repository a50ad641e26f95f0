"""Texts as sentences and steps: without a model, and rather too few than wrong ones."""

import re

_ABBREVIATIONS = frozenset(
    ["mr", "mrs", "ms", "dr", "prof", "st", "vs", "etc", "e.g", "i.e", "no", "vol", "fig", "approx", "jr", "sr", "inc", "ca", "cf", "al"]
)
_END = re.compile(r"(?<=[.!?。！？])[\"')\]]*\s+(?=[\"'(\[]?[^a-z\s])")
_LAST_WORD = re.compile(r"([A-Za-z.]+)\.$")
_LONGEST_WORD = 16  # more than any abbreviation has
_MARKED = re.compile(r"^\s*(?:\(?\d{1,3}[.):]|[-*•]|step\s+\d{1,3}\s*[.:)-]?)\s+(?=\S)", re.IGNORECASE)
_CONNECTIVE = re.compile(
    r"^(?:therefore|thus|hence|so|then|because|since|first(?:ly)?|second(?:ly)?|third(?:ly)?|next|finally|it follows|consequently|as a result|now|given|if|suppose|assume|let)\b",
    re.IGNORECASE,
)


def sentences(text: str) -> list[str]:
    """In their order; an abbreviation or an initial ends none."""
    found: list[list[str]] = []
    for line in text.splitlines():
        before = len(found)
        for part in _END.split(line.strip()):
            if len(found) > before and _goes_on(found[-1][-1]):
                found[-1].append(part)
            elif part:
                found.append([part])
    return [" ".join(parts) for parts in found]


def _goes_on(text: str) -> bool:
    """Looks at the end alone, however long the text is."""
    last = _LAST_WORD.search(text[-_LONGEST_WORD:])
    return last is not None and (last[1].lower() in _ABBREVIATIONS or len(last[1]) == 1)


def steps(text: str) -> list[str]:
    """The steps of an argument: marked ones, else lines, else sentences if one of them says how it follows. Fewer than two
    are none."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    marked = [line for line in lines if _MARKED.match(line)]
    if len(marked) >= 2:
        return _gathered(lines)
    if len(lines) >= 2:
        return lines
    told = sentences(text)
    return told if len(told) >= 2 and any(_CONNECTIVE.match(one) for one in told) else []


def _gathered(lines: list[str]) -> list[str]:
    """A line without a mark belongs to the step before it; what stands before the first mark is a step of its own."""
    found: list[str] = []
    for line in lines:
        if (mark := _MARKED.match(line)) is not None:
            found.append(line[mark.end() :])
        elif found:
            found[-1] = f"{found[-1]} {line}"
        else:
            found.append(line)
    return found
