"""What can be wrong with a session that is asked for, each broken field for itself."""

from collections.abc import Mapping, Sequence
from typing import Any

from passel.core.errors import FieldError, Unprocessable
from passel.core.limits import Limits
from passel.core.secrets import SECRET_NAME
from passel.store.agents import Version


def require(problems: Sequence[FieldError]) -> None:
    """Raises `Unprocessable` with all of them."""
    if problems:
        more = f"; and {len(problems) - 3} more" if len(problems) > 3 else ""
        raise Unprocessable("; ".join(problem.msg for problem in problems[:3]) + more, errors=problems)


def secret_problems(secrets: Mapping[str, str], limits: Limits) -> list[FieldError]:
    """Names and values of session secrets, each bad one; a single problem when there are too many. Values are never
    repeated."""
    if len(secrets) > limits.secrets:
        return [FieldError("secrets", f"at most {limits.secrets} secrets are allowed")]
    found: list[FieldError] = []
    for name, value in secrets.items():
        where = f"secrets.{name}"
        if not SECRET_NAME.fullmatch(name):
            found.append(FieldError(where, f"the secret name {name[:100]!r} does not match {SECRET_NAME.pattern}"))
        elif not value or len(value) > limits.secret_chars:
            found.append(FieldError(where, f"the secret {name} must have 1 to {limits.secret_chars} characters"))
    return found


def metadata_problems(metadata: Mapping[str, str], limits: Limits) -> list[FieldError]:
    """One for each entry past a limit; a single one when there are too many entries."""
    if len(metadata) > limits.metadata_entries:
        return [FieldError("metadata", f"metadata has {len(metadata)} entries; {limits.metadata_entries} are allowed")]
    found: list[FieldError] = []
    for key, value in metadata.items():
        where = f"metadata.{key}"
        if not 0 < len(key) <= limits.metadata_key_chars:
            found.append(FieldError(where, f"metadata keys may have 1 to {limits.metadata_key_chars} characters"))
        elif len(value) > limits.metadata_value_chars:
            said = f"the metadata value of {key} has {len(value)} characters; {limits.metadata_value_chars} are allowed"
            found.append(FieldError(where, said))
    return found


def option_problems(version: Version, llm_id: str | None) -> list[FieldError]:
    """`llm_id` None is the version's default, which there always is."""
    if llm_id is None or llm_id in version.spec.llms:
        return []
    known = ", ".join(key for key in version.spec.llms if key) or "none: its manifest has no llm.options"
    return [FieldError("llm_id", f"the agent has no LLM option {llm_id}; it has {known}")]


def session_secrets(secrets: dict[str, str], llm_api_key: str | None) -> dict[str, Any] | None:
    """What a session keeps sealed; None when there is nothing to keep."""
    return {"secrets": secrets, "llm_api_key": llm_api_key} if secrets or llm_api_key is not None else None
