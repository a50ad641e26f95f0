"""What a browser session is made of, as its ledger keeps it (section 5 of the `anchor` contract)."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

NEVER = -1
IDLE_MINUTES, MOST_MINUTES = 5.0, 20.0


@dataclass(frozen=True, slots=True)
class Mask:
    """What pictures do not show: `selectors` on all sites, `sites` are hosts (`*.bank.test` with all below) with selectors of their own,
    `patterns` are regular expressions of JavaScript and what stands in the place of text that fits."""

    selectors: tuple[str, ...] = ()
    sites: tuple[tuple[str, tuple[str, ...]], ...] = ()
    patterns: tuple[tuple[str, str], ...] = ()

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> "Mask":
        return Mask(
            tuple(data["selectors"]),
            tuple((host, tuple(selectors)) for host, selectors in data["sites"]),
            tuple((regex, mask) for regex, mask in data["patterns"]),
        )


@dataclass(frozen=True, slots=True)
class Configuration:
    """What is in effect. Minutes may have decimals; -1 is without end. `idle_minutes` count from the moment when nobody is connected.
    `view_only` and `one_time_view` are about the live view, and a `scoped` session is opened by minted tokens alone. `proxy` is what it
    goes out through; user and password of that are among the session's secrets. `profile` is the saved state that it begins with, and
    which it saves at its end where `persist`. `extensions` are ids of those that it loads, `certificates` names of those
    of authorities that it trusts. With `adblock` hosts of the server's filter lists are not reached."""

    width: int = 1440
    height: int = 900
    fullscreen: bool = False
    initial_url: str | None = None
    tags: tuple[str, ...] = ()
    idle_minutes: float = IDLE_MINUTES
    max_minutes: float = MOST_MINUTES
    recording: bool = False
    p2p_download: bool = False
    view_only: bool = False
    one_time_view: bool = False
    scoped: bool = False
    pdf_viewer: bool = True
    disable_web_security: bool = False
    force_tabs: bool = False
    dialogs: bool = True
    mask: Mask | None = None
    proxy: str | None = None
    profile: str | None = None
    persist: bool = False
    extensions: tuple[str, ...] = ()
    certificates: tuple[str, ...] = ()
    adblock: bool = False

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> "Configuration":
        kept: dict[str, Any] = {**data, "tags": tuple(data["tags"]), "extensions": tuple(data.get("extensions", ()))}
        kept["certificates"] = tuple(data.get("certificates", ()))
        if (mask := data.get("mask")) is not None:
            kept["mask"] = Mask.from_json(mask)
        return Configuration(**kept)

    @property
    def idle_seconds(self) -> float | None:
        return None if self.idle_minutes < 0 else self.idle_minutes * 60

    @property
    def max_seconds(self) -> float | None:
        return None if self.max_minutes < 0 else self.max_minutes * 60
