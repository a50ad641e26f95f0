"""What is set up in each page and frame before its first document (5.2 of the `anchor` contract): scripts of our own, which run before
those of the page."""

import json
from functools import cache
from pathlib import Path
from typing import Any

from passel.core.browser.configuration import Configuration, Mask
from passel.workloads.browser.tabs import Command

_SCRIPTS = Path(__file__).parent / "scripts"
_SENSITIVE = (
    "input[type=password]",
    "input[type=email]",
    "input[type=tel]",
    "input[autocomplete^=cc-]",
    "input[name*=card i]",
    "input[name*=cvv i]",
    "input[name*=cvc i]",
    "input[name*=ssn i]",
)
"""What is blurred wherever a mask is on."""


def commands(configuration: Configuration) -> list[Command]:
    scripts: list[str] = []
    if configuration.force_tabs:
        scripts.append(_script("force_tabs"))
    if not configuration.dialogs:
        scripts.append(_script("no_dialogs"))
    if configuration.mask is not None:
        scripts.append(_script("mask", _of(configuration.mask)))
    return [("Page.addScriptToEvaluateOnNewDocument", {"source": script, "runImmediately": True}) for script in scripts]


def problem_of(mask: Mask) -> str:
    """An expression: what of a mask a browser cannot read, an empty text when it can read all."""
    return _script("mask_problem", _of(mask))


def _of(mask: Mask) -> dict[str, Any]:
    return {"selectors": [*_SENSITIVE, *mask.selectors], "sites": mask.sites, "patterns": mask.patterns}


def _script(name: str, *values: Any) -> str:
    return f"({_function(name)})({', '.join(json.dumps(value) for value in values)})"


@cache
def _function(name: str) -> str:
    lines = (_SCRIPTS / f"{name}.js").read_text().splitlines()
    return "\n".join(line for line in lines if not line.startswith("//"))
