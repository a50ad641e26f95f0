"""`passel webhooks`: where an agent's webhook leads, what was delivered, and a receiver for development."""

import sys
from typing import Annotated, Any

import typer

from passel.cli.client import DEFAULT_URL, Client, Key, Url
from passel.cli.output import CommandError, WrongUse, print_json, print_table

webhooks = typer.Typer(no_args_is_help=True, help="Webhooks of agents: set, show, delete, rotate, deliveries, redeliver, listen.")

Agent = Annotated[str, typer.Argument(help="The agent's name or id.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def register(app: typer.Typer) -> None:
    app.add_typer(webhooks, name="webhooks")


def _path(client: Client, agent: str) -> str:
    return f"/v1/agents/{client.find_agent(agent)['id']}/webhook"


@webhooks.command("set")
def set_webhook(
    agent: Agent,
    webhook_url: Annotated[str, typer.Argument(help="Where deliveries are posted: https://...")],
    event: Annotated[
        list[str] | None,
        typer.Option(
            help="An event type to deliver; may be given more than once. Default: tool.call_requested. Others: session.completed, "
            "session.failed, batch.completed, batch.failed, batch.partial_failed; `all` means all of them."
        ),
    ] = None,
    json_output: Json = False,
    url: Url = DEFAULT_URL,
    key: Key = "",
) -> None:
    """Set the webhook of an agent, or change it. The secret that signs is shown when the webhook is new."""
    client = Client(url, key)
    body: dict[str, Any] = {"webhook_url": webhook_url}
    if event:
        body["event_types"] = _ALL if "all" in event else event
    _show(client.put(_path(client, agent), body), json_output)


_ALL = ["tool.call_requested", "session.completed", "session.failed", "batch.completed", "batch.failed", "batch.partial_failed"]


@webhooks.command("show")
def show(agent: Agent, json_output: Json = False, url: Url = DEFAULT_URL, key: Key = "") -> None:
    """Show where an agent's webhook leads."""
    client = Client(url, key)
    _show(client.get(_path(client, agent)), json_output)


@webhooks.command("rotate")
def rotate(agent: Agent, json_output: Json = False, url: Url = DEFAULT_URL, key: Key = "") -> None:
    """Make a new secret, which signs from now on, and show it, this once."""
    client = Client(url, key)
    _show(client.post(f"{_path(client, agent)}/rotate-secret"), json_output)


def _show(found: Any, json_output: bool) -> None:
    if json_output:
        print_json(found)
        return
    if found["webhook_url"] is None:
        print("no webhook: `passel webhooks set AGENT URL` makes one")
        return
    print(f"webhook  {found['webhook_url']}")
    print(f"events   {', '.join(found['event_types'])}")
    if found["signing_secret"]:
        print(f"secret, shown only now:  {found['signing_secret']}")


@webhooks.command("delete")
def delete(
    agent: Agent,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    url: Url = DEFAULT_URL,
    key: Key = "",
) -> None:
    """Delete an agent's webhook. What waits to be delivered is dropped."""
    client = Client(url, key)
    path = _path(client, agent)
    if not yes:
        if not sys.stdin.isatty():
            raise CommandError("what waits to be delivered is dropped with the webhook: say --yes")
        typer.confirm("Delete the webhook, and drop what waits to be delivered?", abort=True, err=True)
    client.delete(path)
    print("deleted")


@webhooks.command("deliveries")
def deliveries(
    agent: Agent,
    status: Annotated[str | None, typer.Option(help="Only these: pending, delivered, superseded or failed.")] = None,
    event: Annotated[str | None, typer.Option(help="Only those of this event type.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="At most so many.")] = 20,
    json_output: Json = False,
    url: Url = DEFAULT_URL,
    key: Key = "",
) -> None:
    """List what was delivered, newest first, and how it went."""
    client = Client(url, key)
    found = client.get(f"{_path(client, agent)}/deliveries", status=status, type=event, limit=limit)["deliveries"]
    if json_output:
        print_json(found)
        return
    rows = [[d["id"], d["created_at"], d["type"], d["status"], len(d["tries"]), _last(d), d["next_try_at"]] for d in found]
    print_table(["delivery", "created", "event", "status", "tries", "last answer", "next try"], rows)


def _last(delivery: Any) -> str:
    if not delivery["tries"]:
        return delivery["error"] or ""
    last = delivery["tries"][-1]
    return last["error"] or f"HTTP {last['status_code']} in {last['milliseconds']} ms"


@webhooks.command("redeliver")
def redeliver(
    agent: Agent,
    delivery_id: Annotated[str | None, typer.Argument(help="One delivery's id. Without it, --since says which.")] = None,
    since: Annotated[str | None, typer.Option(help="Everything from this moment on: 2026-11-24T18:00:00Z.")] = None,
    until: Annotated[str | None, typer.Option(help="Up to, and without, this moment. Default: now.")] = None,
    url: Url = DEFAULT_URL,
    key: Key = "",
) -> None:
    """Deliver again, under the same ids: one delivery, or all of a span of time."""
    if (delivery_id is None) == (since is None):
        raise WrongUse("name one delivery, or a span with --since")
    client = Client(url, key)
    path = _path(client, agent)
    if delivery_id is not None:
        client.post(f"{path}/deliveries/{delivery_id}/redeliver", repeat=True)
        print(f"delivering {delivery_id} again")
        return
    count, body = 0, {"since": since, "until": until, "after": None}
    while True:
        answer = client.post(f"{path}/redeliver", body, repeat=True)
        count += answer["redelivered"]
        if not answer["has_more"]:
            break
        body["after"] = answer["next_after"]
    print(f"delivering {count} again")


@webhooks.command("listen")
def listen(
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port on loopback; 0 takes any free one.")] = 8484,
    secret: Annotated[
        str | None, typer.Option(envvar="PASSEL_WEBHOOK_SECRET", help="The webhook's secret, to verify signatures.", show_default=False)
    ] = None,
    status: Annotated[int, typer.Option(min=200, max=599, help="What every delivery is answered with.")] = 200,
    json_output: Annotated[bool, typer.Option("--json", help="Print JSON lines.")] = False,
) -> None:
    """Receive webhooks on loopback and print them, for development. With a secret, what is not signed with it gets 401."""
    from passel.cli.listening import serve

    try:
        serve(port, secret, status, json_output)
    except OSError as error:
        raise CommandError(f"cannot listen on port {port}: {error}; choose another with --port") from error
