"""`passel events`: everything that happens, as it happens."""

from typing import Annotated, Any

import typer

from passel.cli.client import DEFAULT_URL, Client, Key, Url
from passel.cli.following import follow
from passel.cli.metadata import metadata_of
from passel.cli.output import json_line, plain
from passel.cli.sessions import gist


def register(app: typer.Typer) -> None:
    app.command("events")(events)


def events(
    agent: Annotated[str | None, typer.Option(help="Only of sessions with this agent, by name or id.")] = None,
    batch: Annotated[str | None, typer.Option(help="Only of this batch and its sessions.")] = None,
    event: Annotated[list[str] | None, typer.Option(help="Only events of this type; may be given more than once.")] = None,
    metadata: Annotated[list[str] | None, typer.Option(help="name=value that the session has; several times for more.")] = None,
    after: Annotated[
        str | None, typer.Option(help="Begin behind this place of the stream; 0 is the oldest that is kept. Default: now.")
    ] = None,
    json_output: Annotated[bool, typer.Option("--json", help="Print JSON lines.")] = False,
    url: Url = DEFAULT_URL,
    key: Key = "",
) -> None:
    """Print what happens in all sessions and batches, until Ctrl-C."""
    client = Client(url, key)
    wanted: dict[str, Any] = {"batch_id": batch, "type": event, "agent_id": client.find_agent(agent)["id"] if agent else None}
    wanted |= {f"metadata.{name}": value for name, value in (metadata_of(metadata) or {}).items()}
    for told in follow(client, "/v1/events/stream", after, **wanted):
        if told is not None:
            print(json_line(told) if json_output else plain(_line(told)), flush=True)


def _line(told: Any) -> str:
    scope = told.get("session_id") if "message_id" in told else told["batch_id"]
    said = _transition(told) if "counts" in told else gist(told)
    return f"{told['created_at'][11:]}  {scope} #{told['sequence_number']:<4} {told['type']:<28} {said}"


def _transition(told: Any) -> str:
    """Of a batch: what changed, and how its items stand."""
    counts = "  ".join(f"{n} {phase}" for phase, n in told["counts"].items())
    change = f"item {told['index']}: {told['previous_status']} -> {told['status']}" if "index" in told else told["status"]
    return f"{change}  ({counts})"
