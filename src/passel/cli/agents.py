"""`passel agents`: the agents of the organisation, and what options they have."""

import sys
from typing import Annotated, Any

import typer

from passel.cli.client import DEFAULT_URL, Away, Client, Key, Url
from passel.cli.output import CommandError, print_json, print_table

agents = typer.Typer(no_args_is_help=True, help="Agents: list, delete.")


def register(app: typer.Typer) -> None:
    app.add_typer(agents, name="agents")


@agents.command("list")
def list_agents(
    json_output: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False, url: Url = DEFAULT_URL, key: Key = ""
) -> None:
    """List the agents, with their active versions."""
    found = Client(url, key).get("/v1/agents")["agents"]
    if json_output:
        print_json(found)
    else:
        print_table(
            ["agent", "name", "active version", "created"], [[a["id"], a["name"], a["active_version_id"], a["created_at"]] for a in found]
        )


@agents.command("delete")
def delete(
    agent: Annotated[str, typer.Argument(help="The agent's name or id.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    url: Url = DEFAULT_URL,
    key: Key = "",
) -> None:
    """Delete an agent. What it has said stays to be read, and what is queued still runs."""
    client = Client(url, key)
    found = client.find_agent(agent)
    if not yes:
        if not sys.stdin.isatty():
            raise CommandError("deletion cannot be undone: say --yes")
        typer.confirm(f"Delete {found['name']} ({found['id']})?", abort=True, err=True)
    client.delete(f"/v1/agents/{found['id']}")
    print(f"deleted {found['id']}")


def check_options(client: Client, agent: Any, wanted: dict[str | None, dict[str, str]]) -> None:
    """Refuse LLM options that a version does not have: on the server every one of their sessions would fail.

    `wanted` has, by version (None is the active one), each option with the place that names it.
    """
    for version_id, named in wanted.items():
        options = _options(client, agent["id"], version_id or agent["active_version_id"])
        if options is None:
            continue
        for option, where in named.items():
            if option not in options:
                has = f"it has {', '.join(options)}" if options else "it has one model and no options, so name none"
                raise CommandError(f"{where} {option}: the agent {agent['name']} has no such LLM option; {has}")


def _options(client: Client, agent_id: str, version_id: str) -> list[str] | None:
    """The ids of a version's LLM options, from its manifest; None where the server does not show it."""
    import yaml

    try:
        answer = client.get(f"/v1/agents/{agent_id}/versions/{version_id}/bundle/file", path="dari.yml")
    except Away:
        raise
    except CommandError:
        return None  # such as a version that is not there: the server says so of each item
    return list(yaml.safe_load(answer["content"])["llm"].get("options") or [])
