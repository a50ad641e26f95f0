"""Lists of hosts that the ad blocker keeps sessions from (section 5.2 and D4 of the `anchor` contract).

Three ways of writing them are read, also mixed in one file: names alone, hosts files, and of filter lists for browsers the rules that
are about a whole host:

    ads.test            0.0.0.0 ads.test            ||ads.test^            @@||good.ads.test^

What is below a host is meant too. Rules about parts of sites, with options, or about what pages show are not about hosts: they are passed
over, and counted.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

_HOST = re.compile(r"(?=.{1,253}$)([a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?\.)+[a-z][a-z0-9-]{0,61}[a-z0-9]")
_BEFORE = ([], ["0.0.0.0"], ["127.0.0.1"], ["::"], ["::1"])
_COMMENT = re.compile(r"\s#")  # one without a blank before it is a rule about what pages show


@dataclass(frozen=True, slots=True)
class HostFilter:
    """`passed_over` are lines that say something else than which host."""

    hosts: frozenset[str] = frozenset()
    exceptions: frozenset[str] = frozenset()
    passed_over: int = 0

    def blocks(self, host: str) -> bool:
        """The longest name that a list has decides."""
        name = host.lower().rstrip(".")
        while name:
            if name in self.exceptions:
                return False
            if name in self.hosts:
                return True
            name = name.partition(".")[2]
        return False


def parse(lines: Iterable[str]) -> HostFilter:
    hosts: set[str] = set()
    exceptions: set[str] = set()
    passed_over = 0
    for line in lines:
        text = line.strip().lower()
        if not text or (text.startswith(("!", "#", "[")) and not text.startswith("##")):
            continue
        found = _host(text.removeprefix("@@"))
        if found is None:
            passed_over += 1
        elif text.startswith("@@"):
            exceptions.add(found)
        else:
            hosts.add(found)
    return HostFilter(frozenset(hosts), frozenset(exceptions), passed_over)


def _host(text: str) -> str | None:
    if text.startswith("||"):
        name = text[2:].removesuffix("^") if text.endswith("^") else ""
    else:
        *where, name = _COMMENT.split(text)[0].split() or [""]
        if where not in _BEFORE:
            return None
    return name if _HOST.fullmatch(name) else None
