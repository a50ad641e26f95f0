"""`passel verify`: is a claim true."""

from typing import Annotated, Any

import typer

from passel.cli.client import DEFAULT_URL, Client, Key, Url
from passel.cli.output import CommandError, plain, print_json


def register(app: typer.Typer) -> None:
    app.command()(verify)


def verify(
    claim: Annotated[str, typer.Argument(help="What is claimed.")],
    method: Annotated[
        list[str] | None, typer.Option(help="A method, or method=weight; several times for more. Default: formal.", show_default=False)
    ] = None,
    premise: Annotated[list[str] | None, typer.Option(help="A sentence that the claim is to follow from; several times for more.")] = None,
    json_output: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    url: Url = DEFAULT_URL,
    key: Key = "",
) -> None:
    """Verify a claim and say why. The exit code is 0 when it is accepted, 1 when it is not."""
    body: dict[str, Any] = {"content": claim, "methods": dict(_weight(one) for one in method or ["formal"])}
    if premise:
        body["context"] = {"premises": premise}
    found = Client(url, key).post("/v1/verify", body)
    if json_output:
        print_json(found)
    else:
        print(plain(_shown(found)))
    raise typer.Exit(0 if found.get("decision") == "accept" else 1)


def _weight(given: str) -> tuple[str, float]:
    name, _, weight = given.partition("=")
    try:
        return name, float(weight or 1)
    except ValueError:
        raise CommandError(f"--method {given}: write a method, or method=weight") from None


def _shown(found: Any) -> str:
    if "verdict" not in found:
        return f"{found['status']}: {found.get('errorMessage') or 'it goes on; look at GET /v1/verify/' + found['id']}"
    return f"{found['verdict']} ({found['confidence']:.2f}), {found['decision']}\n{found['reasoning']}"
