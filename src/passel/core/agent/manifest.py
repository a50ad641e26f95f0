"""The agent manifest `dari.yml`: read, checked and normalised (section 6 of the `dari` contract).

Served now: `name`, `harness: pi`, `instructions.system`, `llm` and custom tools of the kind `external`. What needs a
sandbox is refused by name, so that nobody gets an agent that silently lacks its tools. Ours are `settings` and `price` of an LLM
option.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast
from urllib.parse import urlsplit

from passel.core.agent.custom_tools import custom_tools
from passel.core.agent.fields import known, load, mapping, require_plain_path, string
from passel.core.agent.spec import AgentSpec
from passel.core.errors import Invalid
from passel.core.limits import Limits
from passel.core.llm.options import LOCAL, OPENAI, OPENROUTER, PROVIDERS, LlmOption, split_ref
from passel.core.secrets import SECRET_NAME

FILE = "dari.yml"

_TOP_LEVEL = {
    "name", "harness", "instructions", "sandbox", "llm", "built_in_tools", "custom_tools", "skills", "extensions",
    "model_backend",
}  # fmt: skip
_OLD_TOP_LEVEL = {"runtime", "tools", "secrets", "env"}
_OPTION_FIELDS = {"provider", "model", "base_url", "api_key_secret", "settings", "price"}
_SETTING_RANGES: dict[str, tuple[type, float, float]] = {
    "temperature": (float, 0, 2),
    "top_p": (float, 0, 1),
    "max_tokens": (int, 1, 1_000_000),
    "seed": (int, -(2**31), 2**31 - 1),
}
_PRICE_FIELDS, _CACHED_PRICE, _HIGHEST_PRICE = ("input_per_million", "output_per_million"), "cached_input_per_million", 1_000_000
_NEED_A_SANDBOX = {"sandbox", "skills", "extensions", "model_backend", "runtime", "tools", "secrets", "env"}
_TOOLS_ADVICE = (
    "this server runs agents without tools so far, and leaving built_in_tools out means read, bash, edit and write: "
    "write `built_in_tools: []`"
)


@dataclass(frozen=True, slots=True)
class Manifest:
    """`prompt_path` is the file of the bundle that the system prompt was read from, `tool_paths` are the directories of the
    custom tools, by their names."""

    spec: AgentSpec
    prompt_path: str
    tool_paths: dict[str, str]

    def to_json(self) -> dict[str, Any]:
        """The normalised manifest that `GET .../manifest` answers."""
        named = {key: option.to_json() for key, option in self.spec.llms.items() if key is not None}
        llm = {"default": self.spec.default_llm, "options": named} if named else self.spec.llms[None].to_json()
        return {
            "name": self.spec.name,
            "harness": "pi",
            "instructions": {"system": self.prompt_path},
            "llm": llm,
            "built_in_tools": [],
            "custom_tools": [
                {
                    "name": tool.name,
                    "source_name": tool.name,
                    "source_path": self.tool_paths[tool.name],
                    "description": tool.description,
                    "input_schema": tool.input_schema,
                    "execution_mode": "external",
                    "timeout_seconds": tool.timeout_seconds,
                }
                | ({} if tool.output_schema is None else {"output_schema": tool.output_schema})
                for tool in self.spec.tools.values()
            ],
        }


def parse(files: Mapping[str, bytes], limits: Limits) -> Manifest:
    """The manifest of a bundle, given as path -> bytes. Raises `Invalid` with the field and what to write."""
    if FILE not in files:
        raise Invalid(f"the bundle has no {FILE} at its root", field=FILE)
    data = mapping(load(files[FILE], FILE), FILE)
    _refuse_what_needs_a_sandbox(data)
    name = string(data.get("name"), "name")
    if len(name) > 200:
        raise Invalid("name is longer than 200 characters", field="name")
    _check_harness(data.get("harness"))
    path, prompt = _instructions(data.get("instructions"), files, limits.prompt_bytes)
    default, llms = _llm(data.get("llm"))
    tools, paths = custom_tools(data.get("custom_tools"), files)
    return Manifest(AgentSpec(name, prompt, default, llms, tools), path, paths)


def _refuse_what_needs_a_sandbox(data: dict[str, Any]) -> None:
    if "sdk" in data or "entrypoint" in data:
        raise Invalid(
            "sdk and entrypoint are the form of April 2026, which no server runs: write harness, instructions.system and llm instead",
            field="sdk",
        )
    for key in sorted(data):
        if key not in _TOP_LEVEL | _OLD_TOP_LEVEL:
            raise Invalid(f"unknown field {key[:100]}; known are {', '.join(sorted(_TOP_LEVEL))}", field=key[:100])
    tools = data.get("built_in_tools", data.get("tools"))
    wanted = [key for key in sorted(_NEED_A_SANDBOX) if data.get(key) not in (None, [], {})]
    if wanted:
        advice = "Remove them" if tools == [] else f"Remove them, and {_TOOLS_ADVICE}"
        raise Invalid(
            f"{', '.join(wanted)}: these need a sandbox or a router, which this server does not have yet. {advice}", field=wanted[0]
        )
    if tools != []:
        raise Invalid(f"built_in_tools: {_TOOLS_ADVICE}", field="built_in_tools")


def _check_harness(value: object) -> None:
    fields = mapping(cast(object, value), "harness") if isinstance(value, dict) else {"kind": value}
    known(fields, {"kind", "protocol", "customRuntimeServer"}, "harness")
    if fields.get("kind") == "customRuntimeServer" or "customRuntimeServer" in fields:
        raise Invalid(
            "harness: customRuntimeServer needs a sandbox, which this server does not have yet: write `harness: pi`", field="harness"
        )
    if fields.get("kind") != "pi" or fields.get("protocol", "dari-runtime-v1") != "dari-runtime-v1":
        raise Invalid("harness must be `pi`", field="harness")


def _instructions(value: object, files: Mapping[str, bytes], most: int) -> tuple[str, str]:
    fields = mapping(value, "instructions")
    known(fields, {"system"}, "instructions")
    path = string(fields.get("system"), "instructions.system")
    require_plain_path(path, "instructions.system")
    if path not in files:
        raise Invalid(f"instructions.system names {path}, which is not in the bundle", field="instructions.system")
    if len(files[path]) > most:
        raise Invalid(f"{path} is larger than {most // 1024} KiB", field="instructions.system")
    try:
        prompt = files[path].decode("utf-8")
    except UnicodeDecodeError as error:
        raise Invalid(f"{path} is not UTF-8 text", field="instructions.system") from error
    if "\x00" in prompt:
        raise Invalid(f"{path} holds a NUL character", field="instructions.system")
    return path, prompt


def _llm(value: object) -> tuple[str | None, dict[str | None, LlmOption]]:
    data = mapping(value, "llm")
    if "options" not in data:
        if "default" in data:
            raise Invalid("llm.default needs llm.options beside it", field="llm.default")
        return None, {None: _option(data, "llm")}
    unknown = sorted(set(data) - {"options", "default"})
    if unknown:
        raise Invalid(f"llm.{unknown[0]} cannot stand beside llm.options: move it into an option", field=f"llm.{unknown[0]}")
    options = mapping(data["options"], "llm.options")
    if not options:
        raise Invalid("llm.options is empty", field="llm.options")
    llms: dict[str | None, LlmOption] = {}
    for key, option in options.items():
        if not key or len(key) > 128:
            raise Invalid("the ids in llm.options must have 1 to 128 characters", field="llm.options")
        llms[key] = _option(mapping(option, f"llm.options.{key}"), f"llm.options.{key}")
    default = string(data.get("default"), "llm.default")
    if default not in llms:
        raise Invalid(f"llm.default is {default}, which is not one of {', '.join(options)}", field="llm.default")
    return default, llms


def _option(data: dict[str, Any], where: str) -> LlmOption:
    known(data, _OPTION_FIELDS, where)
    written = string(data.get("model"), f"{where}.model")
    provider, model = split_model(written, data.get("provider"), where)
    if not model:
        raise Invalid(f"{where}.model names no model", field=f"{where}.model")
    base_url = data.get("base_url")
    if base_url is not None:
        base_url = string(base_url, f"{where}.base_url")
        check_url_form(base_url, f"{where}.base_url")
        if provider == LOCAL:
            raise Invalid(f"{where}: a local model has no base_url", field=f"{where}.base_url")
        if data.get("provider") is None:
            # a server of one's own speaks OpenAI's protocol and knows the model by the name as written (contract 6.4)
            provider, model = OPENAI, written
    secret = data.get("api_key_secret")
    if secret is not None and not SECRET_NAME.fullmatch(string(secret, f"{where}.api_key_secret")):
        raise Invalid(f"{where}.api_key_secret must match {SECRET_NAME.pattern}", field=f"{where}.api_key_secret")
    settings = _settings(data.get("settings"), f"{where}.settings")
    return LlmOption(provider, model, base_url, secret, settings, _price(data.get("price"), f"{where}.price"))


def split_model(model: str, provider: object, where: str = "llm") -> tuple[str, str]:
    """Provider and bare model name of `anthropic/claude-haiku-4-5`, `openai:gpt-5.5`, `local:smollm2` ...

    Without an explicit provider `openai/` and `anthropic/` name theirs and all else is OpenRouter's (contract 6.4); the
    form with a colon is ours. Beside a `base_url` none of this holds: see `_option`. Raises `Invalid` for a provider
    that is not known.
    """
    if provider is not None:
        name = string(provider, f"{where}.provider")
        if name not in PROVIDERS:
            raise Invalid(f"{where}.provider must be one of {', '.join(PROVIDERS)}", field=f"{where}.provider")
        return name, model.removeprefix(f"{name}/").removeprefix(f"{name}:") if name != OPENROUTER else model
    return split_ref(model)


def check_url_form(url: str, where: str) -> None:
    """Raises `Invalid` for what is no absolute http or https URL, or carries a user name or a password. Where it leads
    is not looked at."""
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018 - the property raises on a port that is no number
        wrong = parts.scheme not in ("http", "https") or not parts.hostname
    except ValueError:
        wrong, parts = True, None
    if wrong or parts is None:
        raise Invalid(f"{where} must be an absolute http or https URL", field=where)
    if parts.username or parts.password:
        raise Invalid(f"{where} must not carry a user name or a password: use api_key_secret", field=where)


def _settings(value: object, where: str) -> dict[str, Any]:
    settings = mapping({} if value is None else value, where)
    for key, setting in settings.items():
        if key not in _SETTING_RANGES:
            raise Invalid(f"{where}.{key} is not a setting; known are {', '.join(_SETTING_RANGES)}", field=f"{where}.{key}")
        kind, low, high = _SETTING_RANGES[key]
        fits = isinstance(setting, int) or (kind is float and isinstance(setting, float))
        if isinstance(setting, bool) or not fits or not low <= setting <= high:
            raise Invalid(
                f"{where}.{key} must be {'a number' if kind is float else 'an integer'} from {low} to {high}", field=f"{where}.{key}"
            )
    return settings


def _price(value: object, where: str) -> dict[str, float] | None:
    """US dollars a million tokens."""
    if value is None:
        return None
    price = mapping(value, where)
    known(price, {*_PRICE_FIELDS, _CACHED_PRICE}, where)
    for key in (*_PRICE_FIELDS, *({_CACHED_PRICE} & set(price))):
        number = price.get(key)
        if isinstance(number, bool) or not isinstance(number, int | float) or not 0 <= number <= _HIGHEST_PRICE:
            raise Invalid(f"{where}.{key} must be US dollars a million tokens, from 0 to {_HIGHEST_PRICE}", field=f"{where}.{key}")
    return price
