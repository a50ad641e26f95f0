"""`passel settings`: what an organisation's verifications may do, and which models they ask."""

from typing import Annotated, Any

import typer

from passel.cli.accounts import Json
from passel.cli.client import DEFAULT_URL, Client, Key, Url
from passel.cli.output import WrongUse, print_json, print_table

settings = typer.Typer(no_args_is_help=True, help="An organisation's settings for verifications: get, set.")

Organisation = Annotated[str, typer.Option("--org", help="An organisation that the key's own one owns, by its id.")]

_LISTS, _NUMBERS, _SWITCHES = ("panel",), ("monthlyLimit",), ("review",)
_NAMES = ("profile", "model", "baseUrl", *_LISTS, *_NUMBERS, *_SWITCHES)


def register(app: typer.Typer) -> None:
    app.add_typer(settings, name="settings")


@settings.command("get")
def get(org: Organisation = "current", json_output: Json = False, url: Url = DEFAULT_URL, key: Key = "") -> None:
    """Print the settings."""
    _show(Client(url, key).get("/v1/settings", organization=org), json_output)


@settings.command("set")
def change(
    values: Annotated[list[str], typer.Argument(help=f"name=value of {', '.join(_NAMES)}; nothing behind the = is the default again.")],
    org: Organisation = "current",
    json_output: Json = False,
    url: Url = DEFAULT_URL,
    key: Key = "",
) -> None:
    """Change settings; what is not named stays. `panel` is a list with commas between its models."""
    body = dict(_pair(one) for one in values)
    _show(Client(url, key).put(f"/v1/settings?organization={org}", body), json_output)


def _pair(given: str) -> tuple[str, Any]:
    name, mark, value = given.partition("=")
    if not mark or name not in _NAMES:
        raise WrongUse(f"{given}: write name=value, with a name of {', '.join(_NAMES)}")
    if name in _LISTS:
        return name, [one.strip() for one in value.split(",") if one.strip()]
    if name in _SWITCHES:
        if value not in ("", "on", "off"):
            raise WrongUse(f"{given}: write {name}=on or {name}=off")
        return name, value != "off"
    if name in _NUMBERS and value:
        if not value.isascii() or not value.isdigit():
            raise WrongUse(f"{given}: {name} is a whole number")
        return name, int(value)
    return name, value or ("unlimited" if name == "profile" else None)


def _show(found: Any, json_output: bool) -> None:
    if json_output:
        print_json(found)
    else:
        print_table(["setting", "value"], [[name, _text(value)] for name, value in found.items()])


def _text(value: Any) -> str:
    if isinstance(value, list | dict):
        return ", ".join(value)
    if isinstance(value, bool):
        return "on" if value else "off"
    return "" if value is None else str(value)
