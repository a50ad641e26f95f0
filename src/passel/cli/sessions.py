"""`passel session`: what a session is and what happened in it."""

import json
from typing import Annotated, Any

import typer

from passel.cli.client import DEFAULT_URL, Client, Key, Url
from passel.cli.output import print_json, print_table

app = typer.Typer(no_args_is_help=True, help="Sessions: get, transcript, events.")

SessionId = Annotated[str, typer.Argument(help="A session's id.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command("get")
def get(session_id: SessionId, json_output: Json = False, url: Url = DEFAULT_URL, key: Key = "") -> None:
    """Show a session and its bill."""
    client = Client(url, key)
    session = client.get(f"/v1/sessions/{session_id}")
    bill = client.get(f"/v1/costs/sessions/{session_id}")
    if json_output:
        print_json({**session, "bill": bill})
        return
    rows = [[name, json.dumps(value) if isinstance(value, dict) else value] for name, value in {**session, **bill}.items()]
    print_table(["field", "value"], [row for row in rows if row[1] is not None])


@app.command("transcript")
def transcript(session_id: SessionId, json_output: Json = False, url: Url = DEFAULT_URL, key: Key = "") -> None:
    """Show the conversation."""
    found = Client(url, key).get(f"/v1/sessions/{session_id}/transcript")
    if json_output:
        print_json(found)
        return
    for item in found["timeline"]["items"]:
        speaker = "user" if item["type"] == "user_message" else f"agent ({item['status']})"
        print(f"--- {speaker}  {item['created_at']}")
        print("\n".join(_block(block) for block in item["content"]) + (f"[{item['error_message']}]" if item.get("error_message") else ""))


def _block(block: Any) -> str:
    return block["text"] if block["type"] == "text" else f"[{block['type']} {block['file_id']}]"


@app.command("events")
def events(
    session_id: SessionId,
    after: Annotated[int, typer.Option(help="Only events with a higher number.")] = 0,
    json_output: Annotated[bool, typer.Option("--json", help="Print JSON lines.")] = False,
    url: Url = DEFAULT_URL,
    key: Key = "",
) -> None:
    """List the ledger."""
    client, more, rows = Client(url, key), True, []
    while more:
        page = client.get(f"/v1/sessions/{session_id}/events", after=after)
        for event in page["events"]:
            if json_output:
                print(json.dumps(event, ensure_ascii=False))
            else:
                rows.append([event["sequence_number"], event["created_at"], event["type"], _gist(event)])
        after, more = page["next_after"], page["has_more"]
    if not json_output:
        print_table(["#", "time", "type", "data"], rows)


def _gist(event: Any) -> str:
    """An event in a line: what was said or what changed, and what a call used."""
    data = event["data"]
    said = " ".join(" ".join(_block(block) for block in data.get("content", [])).split())[:80]
    change = f"{data['previous_status']} -> {data['status']}" if "status" in data else ""
    return "  ".join(part for part in (_call(data.get("call") or {}), change, said, data.get("error") or "") if part)


def _call(call: Any) -> str:
    if not call:
        return ""
    cost = call.get("cost_usd")
    tokens = f"{call.get('input_tokens', 0)} in, {call.get('output_tokens', 0)} out"
    return f"[call {call['number']}: {call['provider']}:{call['model']}, {tokens}, {'no price' if cost is None else '$' + cost}]"
