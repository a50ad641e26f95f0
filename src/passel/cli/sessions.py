"""`passel session`: what a session is and what happens in it; sending it messages, ending it, going on from an earlier
point, deleting it."""

import json
import sys
from typing import Annotated, Any

import typer

from passel.cli.bill import cost
from passel.cli.client import DEFAULT_URL, Client, Key, Url
from passel.cli.following import follow
from passel.cli.metadata import metadata_of
from passel.cli.output import json_line, one_line, plain, print_json, print_table

sessions = typer.Typer(no_args_is_help=True, help="Sessions: list, get, transcript, events, watch, send, cancel, fork, delete.")

SessionId = Annotated[str, typer.Argument(help="A session's id.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def register(app: typer.Typer) -> None:
    app.add_typer(sessions, name="session")


@sessions.command("list")
def list_sessions(
    agent: Annotated[str | None, typer.Option(help="Only those of this agent, by name or id.")] = None,
    status: Annotated[str | None, typer.Option(help="Only these: idle, running, failed or expired.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="At most so many.")] = 20,
    json_output: Json = False,
    url: Url = DEFAULT_URL,
    key: Key = "",
) -> None:
    """List sessions, newest first."""
    client = Client(url, key)
    agent_id = client.find_agent(agent)["id"] if agent else None
    found = client.get("/v1/sessions", agent_id=agent_id, status=status, limit=limit)["sessions"]
    if json_output:
        print_json(found)
        return
    rows = [[s["id"], s["status"], s["llm_id"], (s["metadata"] or {}).get("task"), s["agent_id"], s["created_at"]] for s in found]
    print_table(["session", "status", "llm", "task", "agent", "created"], rows)


@sessions.command("get")
def get(session_id: SessionId, json_output: Json = False, url: Url = DEFAULT_URL, key: Key = "") -> None:
    """Show a session and its bill."""
    client = Client(url, key)
    session = client.get(f"/v1/sessions/{session_id}")
    bill = client.get(f"/v1/costs/sessions/{session_id}")
    if json_output:
        print_json({**session, "bill": bill})
        return
    shown = {**session, **bill, "total_cost_usd": cost(bill)}
    rows = [[name, json.dumps(value, ensure_ascii=False) if isinstance(value, dict) else value] for name, value in shown.items()]
    print_table(["field", "value"], [row for row in rows if row[1] is not None])


@sessions.command("transcript")
def transcript(session_id: SessionId, json_output: Json = False, url: Url = DEFAULT_URL, key: Key = "") -> None:
    """Show the conversation."""
    found = Client(url, key).get(f"/v1/sessions/{session_id}/transcript")
    if json_output:
        print_json(found)
        return
    for item in found["timeline"]["items"]:
        if item["type"] == "tool_call":
            print(f"--- tool {item['tool_name']} ({item['status']})  {item['created_at']}")
            print(plain(json.dumps(item["arguments"], ensure_ascii=False)))
            print(plain("=> " + json.dumps(item["result"], ensure_ascii=False)) if item["completed_at"] else "=> ...")
            continue
        speaker = "user" if item["type"] == "user_message" else f"agent ({item['status']})"
        print(f"--- {speaker}  {item['created_at']}")
        print(plain("\n".join(_block(block) for block in item["content"])))
        if item.get("error_message"):
            print(plain(f"[{item['error_message']}]"))


def _block(block: Any) -> str:
    return block["text"] if block["type"] == "text" else f"[{block['type']} {block['file_id']}]"


@sessions.command("events")
def events(
    session_id: SessionId,
    after: Annotated[int, typer.Option(help="Only events with a higher number.")] = 0,
    json_output: Annotated[bool, typer.Option("--json", help="Print JSON lines.")] = False,
    url: Url = DEFAULT_URL,
    key: Key = "",
) -> None:
    """List the ledger: every step, with the tokens and the cost of each model call."""
    client, more, rows = Client(url, key), True, list[list[Any]]()
    while more:
        page = client.get(f"/v1/sessions/{session_id}/events", after=after)
        for event in page["events"]:
            if json_output:
                print(json_line(event))
            else:
                rows.append([event["sequence_number"], event["created_at"], event["type"], gist(event)])
        after, more = page["next_after"], page["has_more"]
    if not json_output:
        print_table(["#", "time", "type", "data"], rows)


@sessions.command("watch")
def watch(
    session_id: SessionId,
    after: Annotated[int, typer.Option(min=0, help="Only events with a higher number.")] = 0,
    json_output: Annotated[bool, typer.Option("--json", help="Print JSON lines.")] = False,
    url: Url = DEFAULT_URL,
    key: Key = "",
) -> None:
    """Print the ledger and go on as it grows, until Ctrl-C."""
    start = f"{session_id}:evt_{after}" if after else None
    for event in follow(Client(url, key), f"/v1/sessions/{session_id}/stream", start):
        if event is not None:
            print_event(event, json_output=json_output)


@sessions.command("send")
def send(
    to: Annotated[str, typer.Argument(metavar="SESSION|AGENT", help="A session's id; or an agent's name or id, for a new session.")],
    text: Annotated[str, typer.Argument(help="What to say; - reads it from standard input.")],
    follow_it: Annotated[bool, typer.Option("--follow", "-f", help="Print what happens until the message has ended.")] = False,
    json_output: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    url: Url = DEFAULT_URL,
    key: Key = "",
) -> None:
    """Send a message. With --follow the exit code is 1 when it fails."""
    client = Client(url, key)
    said = sys.stdin.read() if text == "-" else text
    body = {"type": "user.message", "content": [{"type": "text", "text": said}]}
    path = f"/v1/sessions/{to}/events" if to.startswith("sess_") else f"/v1/agents/{client.find_agent(to)['id']}/messages"
    sent = client.post(path, body)
    session_id, message_id = sent["session"]["id"], sent["message"]["id"]
    if not follow_it:
        if json_output:
            print_json(sent)
        else:
            print(f"{message_id} in {session_id} is {sent['message']['status']}. Follow it with:  passel session watch {session_id}")
        return
    before = sent["event"]["sequence_number"] - 1
    for event in follow(client, f"/v1/sessions/{session_id}/stream", f"{session_id}:evt_{before}"):
        if event is None or event["message_id"] != message_id:
            continue
        print_event(event, json_output=json_output)
        if event["type"] == "message.status_changed" and event["data"]["status"] in ("completed", "failed"):
            raise typer.Exit(event["data"]["status"] == "failed")


def print_event(event: Any, *, json_output: bool) -> None:
    """Flushed, since somebody waits for it."""
    line = (
        json_line(event) if json_output else f"{event['sequence_number']:>4}  {event['created_at'][11:]}  {event['type']:<28} {gist(event)}"
    )
    print(line if json_output else plain(line), flush=True)


def gist(event: Any) -> str:
    """An event in a line: what was said or what changed, and what a call used."""
    data = event["data"]
    said = " ".join(one_line(" ".join(_block(block) for block in data.get("content", []))).split())[:80]
    change = f"{data['previous_status']} -> {data['status']}" if "status" in data else ""
    tool = _tool(data) if "tool_call_id" in data else ""
    return "  ".join(part for part in (_call(data.get("call") or {}), tool, change, said, data.get("error") or "") if part)


def _tool(data: Any) -> str:
    """What is asked of a tool, or what it gave."""
    name = data.get("tool_name") or data["tool_call_id"]
    value = data.get("arguments") if "arguments" in data else data.get("result")
    return f"{name} {one_line(json.dumps(value, ensure_ascii=False))[:80]}"


def _call(call: Any) -> str:
    if not call:
        return ""
    price = call.get("cost_usd")
    tokens = f"{call.get('input_tokens', 0)} in, {call.get('output_tokens', 0)} out"
    return f"[call {call['number']}: {call['provider']}:{call['model']}, {tokens}, {'no price' if price is None else '$' + price}]"


@sessions.command("cancel")
def cancel(session_id: SessionId, json_output: Json = False, url: Url = DEFAULT_URL, key: Key = "") -> None:
    """End the message that is under way and all that wait behind it. The session takes further ones."""
    session = Client(url, key).post(f"/v1/sessions/{session_id}/cancel", repeat=True)
    print_json(session) if json_output else print(f"{session['id']}  {session['status']}")


@sessions.command("fork")
def fork(
    session_id: SessionId,
    after: Annotated[str | None, typer.Option(help="The last event to take over, by number or id. Default: the whole history.")] = None,
    name: Annotated[str | None, typer.Option(help="A name. Default: that of the original.")] = None,
    metadata: Annotated[
        list[str] | None, typer.Option(help="name=value; several times for more. Default: the metadata of the original.")
    ] = None,
    json_output: Json = False,
    url: Url = DEFAULT_URL,
    key: Key = "",
) -> None:
    """Make a session that begins with the history of this one and goes on from there."""
    body = {"after": after, "name": name, "metadata": metadata_of(metadata)}
    made = Client(url, key).post(f"/v1/sessions/{session_id}/fork", {k: v for k, v in body.items() if v is not None})
    print_json(made) if json_output else print(f"{made['id']}  goes on after {made['forked_from']['event_id'] or 'nothing'}")


@sessions.command("delete")
def delete(session_id: SessionId, json_output: Json = False, url: Url = DEFAULT_URL, key: Key = "") -> None:
    """Delete a session with its messages, events and costs, for good."""
    gone = Client(url, key).delete(f"/v1/sessions/{session_id}")
    print_json(gone) if json_output else print(f"{gone['session_id']}  deleted")
