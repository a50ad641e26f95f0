"""`passel browsers`: browser sessions, one at a time and by the batch."""

import time
from pathlib import Path
from typing import Annotated, Any, cast

import orjson
import typer

from passel.cli.client import DEFAULT_URL, Client, Key, Url
from passel.cli.output import CommandError, WrongUse, note, print_json, print_table

browsers = typer.Typer(no_args_is_help=True, help="Browser sessions: open, batch, list, show, end, files, recordings, and a demo.")

_POLL_SECONDS = 0.2
_UNREADY = ("pending", "processing")

Session = Annotated[str, typer.Argument(help="The session's id.")]
Batch = Annotated[str, typer.Argument(help="The batch's id.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Config = Annotated[
    Path | None, typer.Option("--config", help="A JSON file with the configuration: {session: {...}, browser: {...}}. Options go over it.")
]
Page = Annotated[str | None, typer.Option("--page", help="The page that it opens first.")]
Tag = Annotated[list[str] | None, typer.Option("--tag", help="A tag; may be given more than once.")]
Viewport = Annotated[str | None, typer.Option("--viewport", help="The size of its pages, such as 1440x900.")]
Minutes = Annotated[float | None, typer.Option("--minutes", help="How long it lives at most; -1 for as long as it is used.")]
Idle = Annotated[float | None, typer.Option("--idle", help="How many minutes it lives while nobody is connected; -1 for ever.")]
Profile = Annotated[str | None, typer.Option("--profile", help="The saved state that it begins with.")]


def register(app: typer.Typer) -> None:
    from passel.cli.browsers_demo import demo

    browsers.command("demo")(demo)
    app.add_typer(browsers, name="browsers")


def open_client(url: str, key: str) -> Client:
    """A client of the face that browser sessions have."""
    return Client(url, key, {"anchor-api-key": key})


def configuration(
    config: Path | None,
    page: str | None = None,
    tags: list[str] | None = None,
    viewport: str | None = None,
    minutes: float | None = None,
    idle: float | None = None,
    profile: str | None = None,
) -> dict[str, Any]:
    """As the API takes it. Raises `WrongUse`."""
    asked = {} if config is None else _read(config)
    session, browser = asked.setdefault("session", {}), asked.setdefault("browser", {})
    browser.setdefault("headless", {"active": True})
    timeout = {name: value for name, value in (("max_duration", minutes), ("idle_timeout", idle)) if value is not None}
    session |= {name: value for name, value in (("initial_url", page), ("tags", tags or None)) if value is not None}
    if timeout:
        session["timeout"] = session.get("timeout", {}) | timeout
    if viewport is not None:
        browser["viewport"] = _size(viewport)
    if profile is not None:
        browser["profile"] = {"name": profile}
    return asked


def _read(config: Path) -> dict[str, Any]:
    try:
        asked: Any = orjson.loads(config.read_bytes())
    except (OSError, orjson.JSONDecodeError) as error:
        raise WrongUse(f"--config: {config} cannot be read as JSON: {error}") from error
    if not isinstance(asked, dict) or not all(isinstance(asked.get(part, {}), dict) for part in ("session", "browser")):  # pyright: ignore[reportUnknownMemberType]
        raise WrongUse("--config: must be a JSON object with objects session and browser")
    return cast(dict[str, Any], asked)


def _size(given: str) -> dict[str, int]:
    width, x, height = given.lower().partition("x")
    if not x or not width.isdecimal() or not height.isdecimal():
        raise WrongUse(f"--viewport: {given} is no size such as 1440x900")
    return {"width": int(width), "height": int(height)}


@browsers.command("open")
def open_session(
    config: Config = None,
    page: Page = None,
    tag: Tag = None,
    viewport: Viewport = None,
    minutes: Minutes = None,
    idle: Idle = None,
    profile: Profile = None,
    json_output: Json = False,
    url: Url = DEFAULT_URL,
    key: Key = "",
) -> None:
    """Open a session, and print where it is driven and watched."""
    made = open_client(url, key).post("/v1/sessions", configuration(config, page, tag, viewport, minutes, idle, profile))["data"]
    if json_output:
        print_json(made)
        return
    for warning in made.get("warnings", ()):
        note(warning)
    print(f"session  {made['id']}\ncdp      {made['cdp_url']}")
    if made.get("live_view_url"):
        print(f"watch    {made['live_view_url']}")


@browsers.command("batch")
def make_batch(
    count: Annotated[int, typer.Argument(min=1, help="How many sessions.")],
    config: Config = None,
    page: Page = None,
    tag: Tag = None,
    viewport: Viewport = None,
    minutes: Minutes = None,
    idle: Idle = None,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Whether to wait until all are ready or have failed.")] = True,
    json_output: Json = False,
    url: Url = DEFAULT_URL,
    key: Key = "",
) -> None:
    """Open many sessions at once. Exit code 1 when one of them is not ready in the end."""
    client = open_client(url, key)
    asked = {"count": count, "configuration": configuration(config, page, tag, viewport, minutes, idle)}
    made = client.post("/v1/batch-sessions", asked)["data"]
    for warning in made.get("warnings", ()):
        note(warning)
    note(f"batch {made['batch_id']}: {count} sessions")
    if not wait:
        print_json(made) if json_output else print(made["batch_id"])
        return
    found = wait_for_batch(client, made["batch_id"])
    show_batch(found, as_json=json_output)
    raise typer.Exit(0 if found["completed_requests"] == count else 1)


def wait_for_batch(client: Client, batch_id: str) -> Any:
    """The batch, once all of its sessions are ready or have failed."""
    said = ""
    while True:
        found = client.get(f"/v1/batch-sessions/{batch_id}", include_sessions=False)["data"]
        progress = found["progress"]
        now = f"{progress['percentage']:g} % {progress['current_phase']}"
        if now != said:
            note(now)
            said = now
        if found["status"] not in _UNREADY:
            return client.get(f"/v1/batch-sessions/{batch_id}")["data"]
        time.sleep(_POLL_SECONDS)


def show_batch(found: Any, *, as_json: bool) -> None:
    if as_json:
        print_json(found)
        return
    rows = [[one["item_index"], one["status"], one["session_id"], one["error"] or one["cdp_url"]] for one in found["sessions"]]
    print_table(["item", "status", "session", "driven at, or what went wrong"], rows)
    if found.get("live_view_url"):
        print(f"watch all of them: {found['live_view_url']}")
    if found.get("error"):
        note(found["error"])


@browsers.command("batches")
def list_batches(
    status: Annotated[str | None, typer.Option(help="pending, processing, completed, failed or cancelled.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=100, help="How many.")] = 20,
    json_output: Json = False,
    url: Url = DEFAULT_URL,
    key: Key = "",
) -> None:
    """List batches, newest first."""
    found = open_client(url, key).get("/v1/batch-sessions", status=status, limit=limit)["data"]
    if json_output:
        print_json(found)
        return
    columns = ["batch", "status", "sessions", "ready", "failed", "cancelled", "created"]
    names = ("batch_id", "status", "total_requests", "completed_requests", "failed_requests", "cancelled_requests", "created_at")
    print_table(columns, [[one[name] for name in names] for one in found["batches"]])


@browsers.command("watch")
def watch_batch(batch: Batch, json_output: Json = False, url: Url = DEFAULT_URL, key: Key = "") -> None:
    """Wait for a batch, and print its sessions."""
    show_batch(wait_for_batch(open_client(url, key), batch), as_json=json_output)


@browsers.command("cancel")
def cancel_batch(batch: Batch, url: Url = DEFAULT_URL, key: Key = "") -> None:
    """End a batch's sessions, and begin none any more."""
    print(open_client(url, key).patch(f"/v1/batch-sessions/{batch}", {"status": "cancelled"})["data"]["message"])


@browsers.command("retry")
def retry_batch(batch: Batch, url: Url = DEFAULT_URL, key: Key = "") -> None:
    """Give each session that failed a new browser."""
    print(open_client(url, key).post(f"/v1/batch-sessions/{batch}/retry", {})["data"]["message"])


@browsers.command("delete")
def delete_batch(batch: Batch, url: Url = DEFAULT_URL, key: Key = "") -> None:
    """End a batch's sessions, and remove all that is kept of them."""
    print(open_client(url, key).delete(f"/v1/batch-sessions/{batch}")["data"]["message"])


@browsers.command("list")
def list_sessions(
    status: Annotated[str | None, typer.Option(help="pending, running, completed or failed.")] = None,
    tag: Annotated[list[str] | None, typer.Option("--tag", help="Only those with this tag; may be given more than once.")] = None,
    batch: Annotated[str | None, typer.Option(help="Only those of this batch.")] = None,
    limit: Annotated[int, typer.Option(help="How many: 10, 20 or 50.")] = 20,
    page: Annotated[int, typer.Option(min=1, help="Which page of them.")] = 1,
    json_output: Json = False,
    url: Url = DEFAULT_URL,
    key: Key = "",
) -> None:
    """List sessions, newest first."""
    asked: dict[str, Any] = {"status": status, "tags": ",".join(tag or ()) or None, "batch_id": batch, "limit": limit, "page": page}
    found = open_client(url, key).get("/v1/sessions", sort_order="desc", **asked)["data"]
    if json_output:
        print_json(found)
        return
    rows = [
        [one["id"], one["status"], one["end_reason"], one["duration"], ",".join(one["tags"]), one["created_at"]]
        for one in found["sessions"]
    ]
    print_table(["session", "status", "ended by", "seconds", "tags", "created"], rows)
    if found["page"] < found["total_pages"]:
        note(f"{found['total']} in all: go on with --page {found['page'] + 1}")


@browsers.command("show")
def show_session(session: Session, url: Url = DEFAULT_URL, key: Key = "") -> None:
    """Print a session with its pages, downloads and recordings, as JSON."""
    client = open_client(url, key)
    found = client.get(f"/v1/sessions/{session}")["data"]
    if found["status"] == "running":
        found["pages"] = client.get(f"/v1/sessions/{session}/pages")["data"]["items"]
    for name in ("downloads", "recordings"):
        found[name] = client.get(f"/v1/sessions/{session}/{name}")["data"]["items"]
    print_json(found)


@browsers.command("end")
def end_sessions(
    sessions: Annotated[list[str] | None, typer.Argument(help="Ids of sessions.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="All that run.")] = False,
    url: Url = DEFAULT_URL,
    key: Key = "",
) -> None:
    """End sessions. What they downloaded and recorded is kept."""
    if bool(sessions) == everything:
        raise WrongUse("name sessions, or say --all")
    client = open_client(url, key)
    if everything:
        print(client.delete("/v1/sessions/all")["data"]["status"])
    for session in sessions or ():
        client.delete(f"/v1/sessions/{session}")
        print(f"{session} ended")


@browsers.command("upload")
def upload(session: Session, file: Path, url: Url = DEFAULT_URL, key: Key = "") -> None:
    """Give a session a file, and print the name that pages are given it by."""
    try:
        with file.open("rb") as source:
            print(open_client(url, key).post_open_file(f"/v1/sessions/{session}/uploads", file.name, source)["data"]["message"])
    except OSError as error:
        raise CommandError(f"{file} cannot be read: {error}") from error


@browsers.command("downloads")
def downloads(
    session: Session,
    to: Annotated[Path | None, typer.Option("--to", help="A directory that they are saved in.")] = None,
    json_output: Json = False,
    url: Url = DEFAULT_URL,
    key: Key = "",
) -> None:
    """List what a session downloaded, or save it."""
    client = open_client(url, key)
    found = client.get(f"/v1/sessions/{session}/downloads")["data"]["items"]
    if to is not None:
        to.mkdir(parents=True, exist_ok=True)
        for one in found:
            name = Path(one["suggested_file_name"]).name
            size = client.save(f"/v1/sessions/{session}/downloads/{one['id']}/fetch", to / name)
            print(f"{to / name}  {size} bytes")
    elif json_output:
        print_json(found)
    else:
        names = ("id", "suggested_file_name", "size", "origin_url", "created_at")
        print_table(["download", "name", "bytes", "from", "at"], [[one[name] for name in names] for one in found])


@browsers.command("recording")
def recording(
    session: Session,
    to: Annotated[Path, typer.Option("--to", "-o", help="The file that it is saved as.")] = Path("recording.mp4"),
    url: Url = DEFAULT_URL,
    key: Key = "",
) -> None:
    """Save the recording of a session that has ended."""
    print(f"{to}  {open_client(url, key).save(f'/v1/sessions/{session}/recordings/primary/fetch', to)} bytes")


@browsers.command("screenshot")
def screenshot(
    session: Session,
    to: Annotated[Path, typer.Option("--to", "-o", help="The file that it is saved as.")] = Path("screenshot.png"),
    url: Url = DEFAULT_URL,
    key: Key = "",
) -> None:
    """Save what a session shows now."""
    print(f"{to}  {open_client(url, key).save(f'/v1/sessions/{session}/screenshot', to)} bytes")
