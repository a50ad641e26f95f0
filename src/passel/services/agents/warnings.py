"""What may go wrong with a version that is published all the same. This machine's keys and models are looked at; other
machines' workers may have others, so none of this is an error."""

from passel.core.agent.spec import AgentSpec
from passel.core.llm.options import LOCAL, LlmOption
from passel.models.local import PACKAGED, is_path
from passel.services.deps import Deps


def publish_warnings(deps: Deps, spec: AgentSpec) -> list[str]:
    """A sentence for each thing, with the place in the manifest."""
    found: list[str] = []
    for key, option in spec.llms.items():
        where = f"llm.options.{key}" if key else "llm"
        said = _of_local(deps, option) if option.provider == LOCAL else _of_key(deps, option)
        if said:
            found.append(f"{where}: {said}")
    return found


def _of_key(deps: Deps, option: LlmOption) -> str | None:
    if option.base_url or option.api_key_secret or option.provider in deps.key_providers:
        return None
    variable = f"{option.provider.upper()}_API_KEY"
    return f"the server has no {variable} and the option no api_key_secret: sessions fail unless they bring an llm_api_key"


def _of_local(deps: Deps, option: LlmOption) -> str | None:
    if is_path(option.model) or option.model in PACKAGED:
        return None
    if deps.models_dir is not None and (deps.models_dir / f"{option.model}.gguf").is_file():
        return None
    return f"there is no local model {option.model}: known are {', '.join(PACKAGED)}, and files of the server's models directory"
