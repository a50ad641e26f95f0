"""`passel tools`: the calls that wait for an answer, and answering them from Python functions."""

import json
from typing import Annotated, Any

import typer

from passel.cli.client import DEFAULT_URL, Client, Key, Url
from passel.cli.output import one_line, print_json, print_table

tools = typer.Typer(no_args_is_help=True, help="External tools: calls, serve.")


def register(app: typer.Typer) -> None:
    app.add_typer(tools, name="tools")


@tools.command("calls")
def calls(
    agent: Annotated[str | None, typer.Option(help="Only of sessions with this agent, by name or id.")] = None,
    tool: Annotated[list[str] | None, typer.Option(help="Only calls of this tool; may be given more than once.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="At most so many.")] = 100,
    json_output: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    url: Url = DEFAULT_URL,
    key: Key = "",
) -> None:
    """List the calls that wait for an answer."""
    client = Client(url, key)
    agent_id = client.find_agent(agent)["id"] if agent else None
    found = client.get("/v1/tool-calls", agent_id=agent_id, tool_name=tool, limit=limit)["tool_calls"]
    if json_output:
        print_json(found)
        return
    rows = [[c["tool_call_id"], c["tool_name"], _short(c["arguments"]), c["session_id"], c["deadline"]] for c in found]
    print_table(["call", "tool", "arguments", "session", "deadline"], rows)


def _short(value: Any) -> str:
    return one_line(json.dumps(value, ensure_ascii=False))[:60]


@tools.command("serve")
def serve(
    functions: Annotated[
        list[str],
        typer.Argument(metavar="MODULE:FUNCTION...", help="Python functions; TOOL=MODULE:FUNCTION where a tool has another name."),
    ],
    agent: Annotated[str | None, typer.Option(help="Only for sessions with this agent, by name or id.")] = None,
    concurrency: Annotated[int, typer.Option(min=1, max=1000, help="Calls that are worked on at once, each in a thread.")] = 8,
    url: Url = DEFAULT_URL,
    key: Key = "",
) -> None:
    """Answer external tools from Python functions, until Ctrl-C. Start it again at any time: calls that still wait are found.

    A function gets the call's arguments by name and returns what can be JSON; it may be async. What it raises goes to the model
    as an error. A call that was under way when this command died is made again.
    """
    from passel.cli.serving_tools import ToolServer, load

    client = Client(url, key)
    agent_id = client.find_agent(agent)["id"] if agent else None
    ToolServer(client, load(functions), agent_id, concurrency).run()
