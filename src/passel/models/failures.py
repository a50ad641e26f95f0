"""What a failed call means: whether it may have been billed, and whether to ask again."""

import json
from collections.abc import Mapping
from typing import Any

import aiohttp

from passel.core.llm.retry import Fault, ModelFailure
from passel.network import PrivateAddress, retry_after

_MAX_MESSAGE = 2000
_MAX_RETRY_AFTER = 600.0
_USUAL = {"message", "type", "code", "param"}


def of_status(status: int, said: object, headers: Mapping[str, str] | None) -> ModelFailure:
    """A provider's answer that is no answer. `said` is its body, as text or decoded. A 429 for a quota that is used up
    is refused for good."""
    text = said if isinstance(said, str) else json.dumps(said, default=str, ensure_ascii=False)
    message = f"HTTP {status}: {_words(said) or text}"[:_MAX_MESSAGE]
    if status in (429, 503, 529) and "insufficient_quota" not in text:
        return ModelFailure(Fault.OVERLOADED, message, status, retry_after(headers or {}, _MAX_RETRY_AFTER))
    if status >= 500 or status in (408, 409, 425):
        return ModelFailure(Fault.BROKEN, message, status, retry_after(headers or {}, _MAX_RETRY_AFTER))
    return ModelFailure(Fault.REFUSED, message, status)


def _words(said: object) -> str | None:
    """What an error body of the usual form says to people. None for one that says more than that, which is shown
    whole."""
    try:
        body: Any = json.loads(said) if isinstance(said, str) else said
    except (ValueError, RecursionError):
        return None
    if not isinstance(body, dict) or not set(body) <= _USUAL | {"error", "request_id"}:
        return None
    error: Any = body.get("error", body)
    if not isinstance(error, dict) or not set(error) <= _USUAL or not isinstance(error.get("message"), str) or not error["message"]:
        return None
    kinds = [error[name] for name in ("type", "code") if isinstance(error.get(name), str)]
    return f"{error['message']} ({', '.join(dict.fromkeys(kinds))})" if kinds else error["message"]


def placed(failure: ModelFailure, place: str) -> ModelFailure:
    """The failure with the model and the address that it came from before what was said."""
    message = f"{place}: {failure.message}"[:_MAX_MESSAGE]
    return ModelFailure(failure.fault, message, failure.status, failure.retry_after, sent=failure.sent)


def of_timeout(seconds: float) -> ModelFailure:
    """The call may have run, and may be billed."""
    return ModelFailure(Fault.UNKNOWN, f"the model did not answer within {seconds:g} s")


def of_exception(error: BaseException) -> ModelFailure:
    """A call that broke. It is known not to have run only if no connection was made."""
    chain = causes(error)
    message = (" <- ".join(f"{type(e).__name__}: {e}" for e in chain if str(e)) or repr(error))[:_MAX_MESSAGE]
    if any(isinstance(e, PrivateAddress) for e in chain):
        return ModelFailure(Fault.UNSENT, message)
    if never_connected(error):
        return ModelFailure(Fault.BROKEN, message, sent=False)
    return ModelFailure(Fault.UNKNOWN, message)


def never_connected(error: BaseException) -> bool:
    """Whether not even a connection was made: then nothing was sent, and nothing can be billed."""
    return any(isinstance(e, aiohttp.ClientConnectorError | PrivateAddress) for e in causes(error))


def causes(error: BaseException) -> list[BaseException]:
    """The error and what it came from, outermost first."""
    chain: list[BaseException] = []
    current: BaseException | None = error
    while current is not None and current not in chain and len(chain) < 6:
        chain.append(current)
        current = current.__cause__ or current.__context__
    return chain
