"""Every setting of the server, by environment variable, TOML file or default, in this order of precedence.

The file is `passel.toml` in the working directory, or what `PASSEL_CONFIG` names; its keys are the field names.
"""

import difflib
import ipaddress
import os
import re
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Self

from pydantic import AliasChoices, Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, TomlConfigSettingsSource

from passel.core.limits import MIB, Limits
from passel.core.llm.retry import RetryPolicy
from passel.services.deps import VerificationModels, WebTaskRules
from passel.store.admission import Capacity


def default_data_dir() -> Path:
    """`/var/lib/passel` for root, whose home is no place for a service's data; else the user's data directory."""
    if os.geteuid() == 0:
        return Path("/var/lib/passel")
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local/share") / "passel"


def default_models_dir(given: dict[str, Any]) -> Path:
    """Models are large and belong to no server in particular, so those of the user serve every data directory that has
    none of its own."""
    data_dir: Path = given.get("data_dir") or default_data_dir()
    own = data_dir / "models"
    return own if own.is_dir() else default_data_dir() / "models"


# Variables of ours that are no settings of the server.
_OTHER_VARIABLES = {
    "PASSEL_CONFIG", "PASSEL_URL", "PASSEL_PGBIN", "PASSEL_SUPERVISED", "PASSEL_TEST_DIR", "PASSEL_PG_ACCOUNT", "PASSEL_DATABASE_URL",
    "PASSEL_WEBHOOK_SECRET",
}  # fmt: skip
_MISSPELT = 0.75  # how alike two names are, from 0 to 1, when one is the other misspelt
_ALIKE = 0.5
_PRICE = r"^(\d+(\.\d+)?,\d+(\.\d+)?)?$"
_WEIGHT = re.compile(r"[0-9]{1,4}(\.[0-9]{1,4})?")


class UnknownSetting(ValueError):
    """A name that no setting has."""


def _env(name: str) -> AliasChoices:
    return AliasChoices(name, name.lower())


class Settings(BaseSettings):
    model_config = SettingsConfigDict(env_prefix="PASSEL_", extra="ignore", hide_input_in_errors=True)

    database_url: str | None = Field(
        None, validation_alias=AliasChoices("DATABASE_URL", "PASSEL_DATABASE_URL", "database_url"),
        description="PostgreSQL 15 or newer. Without it Passel runs its own in the data directory.",
    )  # fmt: skip
    data_dir: Path = Field(default_factory=default_data_dir, description="Where the database, files, models and keys lie.")
    blob_url: str | None = Field(
        None, description="Object store for bundles and files: file://, s3://, gs:// or az://. Default: a directory in the data directory."
    )
    secret_key: SecretStr | None = Field(
        None, description="64 hexadecimal digits that seal secrets; the same on every machine. Default: a file in the data directory."
    )
    models_dir: Path = Field(
        default_factory=default_models_dir,
        description="Where local models lie. Default: `models` in the data directory if there is one, else in the user's own data directory.",
    )
    api_key: SecretStr | None = Field(
        None, description="The key of the first organisation, on an empty database only. Default: made and shown once."
    )
    host: str = Field("127.0.0.1", description="Address that the API listens on.")
    port: int = Field(8000, ge=0, le=65535, description="Port that the API listens on; 0 takes any free one.")
    public_url: str | None = Field(None, description="How clients reach the API, for the URLs in its answers. Default: from each request.")
    workers: int = Field(1, ge=0, le=64, description="Worker processes that `passel serve` runs.")
    allow_private_urls: bool | None = Field(
        None,
        description="Whether a manifest's base_url and a webhook may lead to private addresses. Default: only while the API listens on loopback.",
    )
    hide_foreign: bool = Field(False, description="Answer 404 instead of 403 for what belongs to another organisation.")
    strict_idempotency: bool = Field(
        False, description="Answer 422 to a known idempotency key with another body, instead of the first request's answer."
    )
    log_format: str = Field("auto", pattern="^(auto|text|json)$", description="Logs on stderr: text, json, or auto (text on a terminal).")
    log_level: str = Field("info", pattern="^(debug|info|warning|error)$", description="The least severe log lines to write.")

    openai_api_key: SecretStr | None = Field(
        None, validation_alias=_env("OPENAI_API_KEY"), description="The server's key for openai: models."
    )
    anthropic_api_key: SecretStr | None = Field(
        None, validation_alias=_env("ANTHROPIC_API_KEY"), description="The server's key for anthropic: models."
    )
    openrouter_api_key: SecretStr | None = Field(
        None, validation_alias=_env("OPENROUTER_API_KEY"), description="The server's key for openrouter: models."
    )

    concurrency: int = Field(
        4000, ge=2, le=20000, description="Messages that one worker runs at once; those that wait for a provider count too."
    )
    lane_concurrency: int = Field(1000, ge=1, description="Sessions active at once in a lane (organisation x model key).")
    local_concurrency: int = Field(4, ge=1, description="The same for local models.")
    local_parallel: int = Field(2, ge=1, le=64, description="Answers that a worker's local model generates at once.")
    local_context_tokens: int = Field(4096, ge=256, description="Context of each of these answers, in tokens.")
    local_threads: int = Field(0, ge=0, description="Threads of a local model; 0 takes the cores divided by the workers.")
    model_timeout: float = Field(600, gt=0, description="Seconds that one model call may take.")
    model_client: str = Field(
        "auto",
        pattern="^(auto|pydantic-ai)$",
        description="How OpenAI-compatible base URLs and local models are called: auto takes the shortest way, pydantic-ai the library's.",
    )
    model_tries: int = Field(
        4, ge=1, description="Calls of one step that may fail by accident (broken connection, 5xx, unreadable answer)."
    )
    model_patience: float = Field(3600, ge=0, description="Seconds for which an overloaded provider (429, 503, 529) is asked again.")
    fault_patience: float = Field(
        600,
        ge=0,
        description="Seconds for which a message is tried again that meets a fault of the server (a missing model file, a blob store that is away).",
    )
    quarantine: int = Field(
        2, ge=1, le=64, description="Processes at most that a worker starts for messages that may have killed a worker."
    )
    max_attempts: int = Field(3, ge=1, description="Workers that a message may end while it runs alone in them, before it fails.")
    takeover_after: float = Field(6, ge=1, description="Seconds of silence after which a worker's messages are taken over.")
    drain_seconds: float = Field(10, ge=0, description="Seconds that a stopping worker lets its messages finish before it hands them back.")
    stream_heartbeat: float = Field(
        15,
        ge=0.1,
        description="Seconds of silence after which an event stream sends a sign of life, and looks whether its key is still good.",
    )

    webhook_timeout: float = Field(10, gt=0, le=300, description="Seconds in which a receiver of webhooks must have answered.")
    webhook_concurrency: int = Field(
        32, ge=1, description="Deliveries under way at once to one webhook: a receiver that is down or slow holds up no other."
    )
    webhook_places: int = Field(1000, ge=2, le=20000, description="Deliveries that one worker makes at once, to all webhooks.")
    chromium: str | None = Field(None, description="The Chromium that browser sessions run in. Default: where it usually is.")
    browsers: int = Field(
        0,
        ge=0,
        description="Browser sessions that one worker runs at once; 0 takes as many as fit into the memory that is free at its start.",
    )
    browser_starts: int = Field(0, ge=0, description="Browsers that a worker starts at once; 0 takes the number of cores.")
    browser_dir: Path | None = Field(
        None,
        description="Where browsers keep their files while they run; a short path that others may enter. Default: in the directory for temporary files.",
    )
    browser_address: str | None = Field(
        None,
        pattern=r"^(\[[0-9a-fA-F:]+\]|[^\s:/\[\]]+)(:\d{1,5})?$",
        description="Host, or host:port, at which API processes on other machines reach this worker's browsers, in a network of their own. Default: they run on the same machine.",
    )
    max_browser_file_mib: int = Field(
        1024, ge=1, description="Largest file that is uploaded to a browser session, and all that one keeps of downloads."
    )
    max_browser_extension_mib: int = Field(50, ge=1, le=1024, description="Largest extension of browsers, as a zip file.")
    max_browser_profile_mib: int = Field(500, ge=1, description="Largest saved state of a browser, before it is packed.")
    browser_memory_mib: int = Field(2048, ge=0, description="Memory that one browser may take before it is ended; 0 is without end.")
    browser_disk_mib: int = Field(
        4096, ge=0, description="Disk that the files of one browser may take before it is ended; 0 is without end."
    )
    browser_pool: int = Field(
        0,
        ge=0,
        le=100,
        description="Browsers that each worker keeps started for whoever comes next; each takes the memory of an idle session.",
    )
    browser_patience: float = Field(
        600, ge=0, description="Seconds after which a browser session fails that no worker had room for; 0 waits for ever."
    )
    recording_rate: float = Field(10, gt=0, le=30, description="Pictures a second of recordings of browser sessions, at most.")
    live_view_embedding: str = Field(
        "*",
        pattern=r"^[^;,\r\n]*$",
        description="Sites that may show the live view in a frame, as the frame-ancestors of a Content-Security-Policy: *, 'none', or https://example.com.",
    )
    implicit_browsers: bool = Field(True, description="A CDP client that brings an API key and names no session gets a new one.")
    bare_browser_ids: bool = Field(
        False,
        description="A CDP client may connect with a session's id alone, as with the hosted service. Ids are in lists and logs, and those of a batch resemble each other.",
    )
    filter_lists: str = Field(
        "",
        description="Files of hosts that sessions with the ad blocker do not reach, with commas between them: names, hosts files, or `||host^` rules. The API needs the setting too.",
    )
    browser_rate: int = Field(
        0,
        ge=0,
        le=1_000_000,
        description="Browser sessions that an organisation may make in a minute, whichever API process it asks. 0: no limit.",
    )
    browser_rate_batches: bool = Field(False, description="The sessions of batches count for browser_rate too.")
    max_batch_browsers: int = Field(1000, ge=1, le=5000, description="Sessions in a batch of browsers.")

    web_task_model: str | None = Field(
        None, description="What drives browsers in web tasks: `provider:model`, or the model's name at web_task_base_url."
    )
    web_task_base_url: str | None = Field(None, description="OpenAI-compatible server that has this model.")
    web_task_price: str = Field(
        "",
        pattern=_PRICE,
        description="What models at web_task_base_url cost: US dollars a million tokens, `input,output`. Default: nothing is known.",
    )
    web_task_minutes: float = Field(30, gt=0, le=1440, description="Minutes that one web task may take.")
    web_task_tokens: int = Field(2_000_000, ge=1, description="Tokens, read and written, after which a web task is given up.")

    webhook_secret_overlap: float = Field(0, ge=0, description="Seconds for which a rotated secret of a webhook signs beside the new one.")

    max_body_mib: int = Field(64, ge=1, description="Largest JSON body of a batch.")
    max_batch_items: int = Field(10_000, ge=1, description="Most items of a batch sent as JSON.")
    max_stream_items: int = Field(1_000_000, ge=1, description="Most items of a batch sent as NDJSON.")
    max_bundle_mib: int = Field(100, ge=1, description="Largest source bundle, packed.")
    max_file_mib: int = Field(100, ge=1, description="Largest uploaded file.")
    unused_file_hours: float = Field(24, gt=0, description="Hours after which an uploaded file that no message names is removed.")
    session_retention_days: float | None = Field(
        None,
        gt=0,
        le=36500,
        description="Days after its last event after which a session of no batch is deleted. Default: never.",
    )
    batch_retention_days: float | None = Field(
        None, gt=0, le=36500, description="Days after its end after which a batch is deleted with its sessions. Default: never."
    )
    firehose_days: float = Field(
        7, gt=0, le=36500, description="Days for which the stream of all events can be followed from a place in the past. The events stay."
    )
    max_json_mib: int = Field(4, ge=1, description="Largest JSON body of all other calls.")
    max_item_mib: int = Field(16, ge=1, description="Largest item of a batch.")
    max_unpacked_mib: int = Field(500, ge=1, description="Largest source bundle, unpacked.")
    max_bundle_entries: int = Field(20_000, ge=1, description="Most entries of a source bundle.")
    max_prompt_kib: int = Field(256, ge=1, description="Largest system prompt.")
    max_secrets: int = Field(100, ge=0, description="Most secrets of a session.")
    max_secret_kib: int = Field(64, ge=1, description="Longest secret of a session and longest credential, in KiB of characters.")
    max_metadata: int = Field(50, ge=0, description="Most metadata entries of a session.")
    max_metadata_key: int = Field(64, ge=1, le=512, description="Longest key of them, in characters.")
    max_metadata_value: int = Field(512, ge=0, le=65536, description="Longest value of them, in characters.")
    verification_places: int = Field(1000, ge=2, le=20000, description="Verifications that one worker runs at once.")
    verification_days: float = Field(90, gt=0, le=36500, description="Days for which a batch of verifications is kept.")
    max_upload_mib: int = Field(100, ge=1, description="Largest uploaded file of claims.")
    upload_hours: float = Field(24, gt=0, le=8760, description="Hours for which an uploaded file of claims waits for its batch.")
    verification_wait: float = Field(
        60, gt=0, le=600, description="Seconds that a synchronous verification waits before it answers that it goes on."
    )
    search: str = Field(
        "corpus", description="What the method tool searches, with commas between them: corpus, searxng, tavily, brave, wikipedia."
    )
    search_weights: str = Field(
        "", description="What the word of a domain weighs, beside the 1 of all others: `example.org=2,example.com=0.5`."
    )
    searxng_url: str | None = Field(None, description="A SearXNG instance; `json` must be among search.formats in its settings.yml.")
    tavily_api_key: SecretStr | None = Field(None, description="Key of Tavily.")
    tavily_url: str = Field("https://api.tavily.com", description="Where Tavily is.")
    brave_api_key: SecretStr | None = Field(None, description="Key of Brave Search.")
    brave_url: str = Field("https://api.search.brave.com", description="Where Brave Search is.")
    wikipedia_url: str = Field("https://en.wikipedia.org", description="Which Wikipedia is searched.")
    verification_rate: int = Field(
        0, ge=0, le=1_000_000, description="Calls a minute that one API key may make to the Check API, in each API process. 0: no limit."
    )
    verification_burst: int = Field(20, ge=0, le=1_000_000, description="Calls that a key may make beyond that at once.")
    verification_model: str | None = Field(
        None, description="What verifications ask: `provider:model`, or the model's name at verification_base_url."
    )
    verification_base_url: str | None = Field(None, description="OpenAI-compatible server that has this model.")
    verification_price: str = Field(
        "",
        pattern=_PRICE,
        description="What models at verification_base_url cost: US dollars a million tokens, `input,output`. Default: nothing is known.",
    )
    verification_panel: str = Field(
        "", description="Further models, with commas between them, for methods that want several opinions (ensemble)."
    )
    max_facts: int = Field(
        100_000, ge=1, description="Most facts of an organisation; each takes about 4 KB of a worker that compares claims with them."
    )
    max_waiting_messages: int = Field(100, ge=1, description="Most messages that wait in one session.")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        path = Path(os.environ.get("PASSEL_CONFIG") or "passel.toml")
        if os.environ.get("PASSEL_CONFIG") and not path.is_file():
            raise FileNotFoundError(f"PASSEL_CONFIG names {path}, which is not a file")
        _refuse_unknown_names(path)
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls, toml_file=path)

    @property
    def blobs(self) -> str:
        return self.blob_url or f"file://{self.data_dir.resolve()}/blobs"

    @property
    def pulled_models_dir(self) -> Path:
        """Where a fetched model goes: beside the data, which is the user's own directory unless another was named."""
        return self.models_dir if "models_dir" in self.model_fields_set else self.data_dir / "models"

    @property
    def private_urls_allowed(self) -> bool:
        return is_loopback(self.host) if self.allow_private_urls is None else self.allow_private_urls

    @property
    def server_keys(self) -> dict[str, str]:
        keys = {"openai": self.openai_api_key, "anthropic": self.anthropic_api_key, "openrouter": self.openrouter_api_key}
        return {name: key.get_secret_value() for name, key in keys.items() if key}

    @property
    def capacity(self) -> Capacity:
        return Capacity(self.lane_concurrency, {"local": self.local_concurrency, "webhook": self.webhook_concurrency})

    @property
    def retries(self) -> RetryPolicy:
        return RetryPolicy(tries=self.model_tries, patience=self.model_patience)

    @property
    def search_sources(self) -> list[str]:
        return [name.strip() for name in self.search.split(",") if name.strip()]

    @property
    def filter_list_paths(self) -> list[Path]:
        return [Path(path.strip()) for path in self.filter_lists.split(",") if path.strip()]

    @property
    def domain_weights(self) -> dict[str, float]:
        pairs = (part.partition("=") for part in self.search_weights.split(",") if part.strip())
        return {domain.strip().lower(): float(weight) for domain, _, weight in pairs}

    @field_validator("search_weights")
    @classmethod
    def _are_weights(cls, value: str) -> str:
        for part in value.split(","):
            domain, _, weight = part.partition("=")
            if part.strip() and not (domain.strip() and _WEIGHT.fullmatch(weight.strip())):
                raise ValueError(f"{part.strip()!r} is not a domain and its weight, such as example.org=2")
        return value

    @field_validator("filter_lists")
    @classmethod
    def _are_there(cls, value: str) -> str:
        for path in filter(None, map(str.strip, value.split(","))):
            if not (Path(path).is_file() and os.access(path, os.R_OK)):
                raise ValueError(f"{path} cannot be read")
        return value

    @model_validator(mode="after")
    def _can_search(self) -> Self:
        needs = {"searxng": self.searxng_url, "tavily": self.tavily_api_key, "brave": self.brave_api_key, "corpus": "", "wikipedia": ""}
        for name in self.search_sources:
            if name not in needs:
                raise ValueError(f"search: there is no {name}; there are {', '.join(needs)}")
            if needs[name] is None:
                raise ValueError(f"search: {name} needs PASSEL_{name.upper()}_{'URL' if name == 'searxng' else 'API_KEY'}")
        return self

    @property
    def verification_models(self) -> VerificationModels:
        panel = tuple(ref.strip() for ref in self.verification_panel.split(",") if ref.strip())
        price = _price(self.verification_price)
        return VerificationModels(self.verification_model or None, self.verification_base_url or None, panel, price)

    @property
    def web_tasks(self) -> WebTaskRules:
        price = _price(self.web_task_price)
        return WebTaskRules(self.web_task_model or None, self.web_task_base_url or None, price, self.web_task_minutes, self.web_task_tokens)

    @property
    def limits(self) -> Limits:
        return Limits(
            batch_body_bytes=self.max_body_mib * MIB,
            json_items=self.max_batch_items,
            stream_items=self.max_stream_items,
            batch_browsers=self.max_batch_browsers,
            browser_extension_bytes=self.max_browser_extension_mib * MIB,
            browsers_a_minute=self.browser_rate,
            batch_browsers_count=self.browser_rate_batches,
            browser_file_bytes=self.max_browser_file_mib * MIB,
            bundle_bytes=self.max_bundle_mib * MIB,
            file_bytes=self.max_file_mib * MIB,
            body_bytes=self.max_json_mib * MIB,
            item_bytes=self.max_item_mib * MIB,
            unpacked_bytes=self.max_unpacked_mib * MIB,
            bundle_entries=self.max_bundle_entries,
            prompt_bytes=self.max_prompt_kib * 1024,
            secrets=self.max_secrets,
            secret_chars=self.max_secret_kib * 1024,
            metadata_entries=self.max_metadata,
            metadata_key_chars=self.max_metadata_key,
            metadata_value_chars=self.max_metadata_value,
            waiting_messages=self.max_waiting_messages,
            result_days=self.verification_days,
            facts=self.max_facts,
            upload_bytes=self.max_upload_mib * MIB,
            upload_hours=self.upload_hours,
        )

    def environment(self) -> dict[str, str]:
        """What a child process needs in its environment to have the same settings."""
        pairs: dict[str, str] = {}
        for name, field in type(self).model_fields.items():
            value: Any = getattr(self, name)
            if value is None or field.is_required():
                continue
            plain = value.get_secret_value() if isinstance(value, SecretStr) else value
            pairs[env_name(name)] = str(plain).lower() if isinstance(plain, bool) else str(plain)
        return pairs


def _price(given: str) -> dict[str, float] | None:
    """In the shape of `passel.core.llm.options`."""
    parts = [float(part) for part in given.split(",") if part]
    return {"input_per_million": parts[0], "output_per_million": parts[1]} if parts else None


def env_name(field: str) -> str:
    """The environment variable of a setting."""
    return (
        field.upper()
        if field in ("database_url", "openai_api_key", "anthropic_api_key", "openrouter_api_key")
        else f"PASSEL_{field.upper()}"
    )


def _refuse_unknown_names(file: Path) -> None:
    """A misspelt setting would be one that is silently not set. A name that resembles none may be somebody else's
    (Kubernetes makes `PASSEL_..._SERVICE_HOST` and the like): see `strange_variables`."""
    for name in _unknown_variables():
        if nearest := _nearest(name.removeprefix("PASSEL_"), _MISSPELT):
            raise UnknownSetting(f"{name} is no setting: did you mean {env_name(nearest)}?")
    keys = tomllib.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    for key in keys:
        if key.lower() not in Settings.model_fields and key.upper() not in map(env_name, Settings.model_fields):
            nearest = _nearest(key, _ALIKE)
            raise UnknownSetting(f"{file}: {key} is no setting" + (f": did you mean {nearest}?" if nearest else ""))


def strange_variables() -> list[str]:
    """A sentence for each PASSEL_ variable that is none of ours."""
    said: list[str] = []
    for name in _unknown_variables():
        nearest = _nearest(name.removeprefix("PASSEL_"), _ALIKE)
        said.append(f"{name} is no setting of Passel and has no effect" + (f"; the nearest is {env_name(nearest)}" if nearest else ""))
    return said


def _unknown_variables() -> Iterable[str]:
    known = {env_name(field) for field in Settings.model_fields} | _OTHER_VARIABLES
    return [name for name in os.environ if name.upper().startswith("PASSEL_") and name.upper() not in known]


def _nearest(name: str, alike: float) -> str | None:
    """The field whose name is the most like `name`."""
    return next(iter(difflib.get_close_matches(name.lower(), Settings.model_fields, 1, alike)), None)


def is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
