"""Web tasks: a played model drives a real browser on a page of this machine, by calls and by the vendor's own client."""

import asyncio
import json
import re
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from typing import Any
from uuid import UUID

import asyncpg
import httpx2
import pytest
from anchorbrowser import Anchorbrowser, APIStatusError
from anchorbrowser.lib.browser import get_agent_ws_url
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect as websocket

from passel.core.browser import PREFIX
from passel.core.ids import encode_ulid
from passel.workloads.browser.chromium import find
from passel.workloads.browser.tasks.secrets import Secrets
from tests.support.browsing import pages
from tests.support.installation import KEY, Installation, PlayedModel, installed, wait_until
from tests.support.receiver import Receiver, receiver
from tests.support.worlds import INVARIANTS
from tests.test_chaos import rows

needs_chromium = pytest.mark.skipif(find() is None, reason="no Chromium: `make test` installs Debian's where it may")

FORM = """<!doctype html><meta charset=utf-8><title>Order</title><h1>Order form</h1><p style='display:none'>Nobody sees this</p>
<form action=/sent><label>Name <input name=name value=nobody></label><label>Password <input type=password name=pw></label>
<label>Country <select name=country><option>France<option value=de>Germany</select></label>
<label><input type=checkbox name=agree> I agree</label> <input type=date name=day aria-label=Day>
<textarea name=note placeholder=Note></textarea><button>Send it</button></form>
<a href=/other target=_blank>Other page</a><a href='file:///etc/passwd'>Files</a><div id=app></div>
<iframe srcdoc="<button onclick='top.document.title = `framed`'>Framed</button>"></iframe>
<p id=said></p><button onclick="said.textContent = prompt('Who are you?')">Ask</button><div style='height:4000px'></div><p>At the very end</p>
<script>const shadow = app.attachShadow({mode: 'open'}); shadow.innerHTML = '<span style="cursor:pointer">Shadowed</span>'
shadow.querySelector('span').onclick = () => document.title = 'from the shadow'</script>"""


class Site(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = (FORM if self.path == "/" else f"<title>Elsewhere</title><p>Got {self.path}</p>").encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None: ...


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    with pages(Site) as url:
        yield f"{url}/"


@pytest.fixture(scope="module")
def serving(model: PlayedModel) -> Iterator[Installation]:
    settings = {
        "PASSEL_ALLOW_PRIVATE_URLS": "1",
        "PASSEL_BARE_BROWSER_IDS": "1",
        "PASSEL_WEB_TASK_MODEL": "task",
        "PASSEL_WEB_TASK_BASE_URL": f"{model.url}/v1",
        "PASSEL_WEB_TASK_PRICE": "1000,2000",
        "PASSEL_WEB_TASK_TOKENS": "400",
        "PASSEL_MODEL_TRIES": "2",
        "PASSEL_TAKEOVER_AFTER": "1",
    }
    with installed(1, settings) as installation:
        yield installation


@pytest.fixture(scope="module")
def session_id(serving: Installation, http: httpx2.Client) -> Iterator[str]:
    """One for tasks that leave nothing behind that matters to others."""
    made = http.post("/v1/sessions", json={"session": {"recording": {"active": False}}}).json()["data"]["id"]
    yield made
    http.delete(f"/v1/sessions/{made}")


@pytest.fixture
def hooked(http: httpx2.Client) -> Iterator[Receiver]:
    """Hears of tasks that end."""
    with receiver() as got:
        made = http.post("/v1/webhooks", json={"url": got.url, "subscribed_events": ["task.completed", "task.failed"]}).json()
        yield got
        http.delete(f"/v1/webhooks/{made['id']}")


def perform(http: httpx2.Client, steps: list[Any], session_id: str | None = None, **fields: Any) -> httpx2.Response:
    """A step is a call, several calls, or what the model says instead."""
    params = {} if session_id is None else {"sessionId": session_id}
    return http.post("/v1/tools/perform-web-task", params=params, json={"prompt": f"Order. script:{json.dumps(steps)}", **fields})


def told(answer: httpx2.Response) -> list[str]:
    """What the model was told until it was done with `{seen}`."""
    assert answer.status_code == 200, answer.text
    return json.loads(answer.json()["data"]["result"]["result"])


def ledger(serving: Installation, session_id: str) -> list[tuple[str, dict[str, Any]]]:
    async def read() -> list[tuple[str, dict[str, Any]]]:
        connection = await asyncpg.connect(serving.database_url())
        try:
            rows = await connection.fetch("select type, data from event where session_id = $1 order by seq", own_id(session_id))
            return [(row["type"], json.loads(row["data"])) for row in rows]
        finally:
            await connection.close()

    return asyncio.run(read())


def own_id(session_id: str) -> str:
    return f"{PREFIX}_{encode_ulid(UUID(session_id).int)}"


@needs_chromium
def test_a_form_is_filled_in_by_a_browser_of_its_own(serving: Installation, http: httpx2.Client, site: str) -> None:
    fill = [
        {"type": {"element": "@Name", "text": "Ada"}},
        {"type": {"element": "@Password", "text": "<secret:code>"}},
        {"select": {"element": "@Country", "choice": "germany"}},
        {"click": {"element": "@I agree"}},
        {"type": {"element": "@Day", "text": "2026-11-27"}},
        {"type": {"element": "@Note", "text": "two\nlines"}},
    ]
    steps = [fill, {"click": {"element": "@Send it"}}, {"done": {"result": "{seen}"}}]
    answer = perform(http, steps, url=site, secret_values={"code": "hush hush"})
    seen = told(answer)
    assert "/sent?name=Ada&pw=<secret:code>&country=de&agree=on&day=2026-11-27&note=two%0D%0Alines" in seen[-1]
    data = answer.json()["data"]
    assert data["steps"] == 3 and data["usage"] == {"input_tokens": 33, "output_tokens": 21, "cost_usd": "0.075"}
    wait_until(lambda: http.get(f"/v1/sessions/{data['session_id']}").json()["data"]["status"] == "completed", 30)
    entries = ledger(serving, data["session_id"])
    streamed = http.get(f"/v1/tools/perform-web-task/{data['workflow_id']}/events").text
    named = [type for type, _ in entries if type.startswith("browser.task")]
    assert re.findall(r"^event: (.*)$", streamed, re.MULTILINE) == named
    [last] = re.findall(r"^id: (\d+)\nevent: browser\.task_ended$", streamed, re.MULTILINE)
    again = http.get(f"/v1/tools/perform-web-task/{data['workflow_id']}/events", headers={"Last-Event-ID": last})
    assert again.status_code == 204 and not again.content
    assert named == [
        "browser.task_requested",
        *["browser.task_answered", "browser.task_acted"] * 2,
        "browser.task_answered",
        "browser.task_ended",
    ]
    assert "hush hush" not in json.dumps([data for type, data in entries if type.startswith("browser.task")])
    assert dict(entries)["browser.ended"]["end_reason"] == "api", "it goes with its task"
    status = http.get(f"/v1/tools/perform-web-task/{data['workflow_id']}/status").json()["data"]
    assert status["status"] == "COMPLETED" and status["result"] == data["result"] and status["usage"] == data["usage"]


@needs_chromium
def test_what_a_model_sees_and_does(http: httpx2.Client, session_id: str, site: str) -> None:
    steps = [
        {"click": {"element": "@Framed"}},
        {"click": {"element": "@Shadowed"}},
        {"click": {"element": "@Ask"}},
        {"scroll": {"pages": 1}},
        [{"answer_dialog": {"accept": True, "text": "a model"}}, {"read": {}}],
        {"click": {"element": "@Other page"}},
        [{"new_tab": {"url": f"{site}third"}}, {"close_tab": {"tab": 3}}, {"switch_tab": {"tab": 1}}],
        [
            {"goto": {"url": "data:text/html,<script>setTimeout(() => alert('late'), 250)</script>"}},
            {"wait": {"seconds": 0.3}},
            {"read": {}},
        ],
        [{"answer_dialog": {"accept": True}}, {"goto": {"url": site}}],
        [{"scroll": {"pages": 10}}, {"read": {}}, {"scroll": {"pages": -10}}, {"wait": {"seconds": 0}}],
        [{"goto": {"url": f"{site}next"}}, {"back": {}}, {"press": {"keys": "Shift+F3"}}, {"goto": {"url": "file:///etc/passwd"}}],
        {"done": {"result": "{seen}"}},
    ]
    start = told(perform(http, steps[-1:], session_id, url=site))[1]
    assert '[1] textbox "Name" (holds "nobody")' in start and 'password "Password" (empty)' in start
    assert 'combobox "Country" (chosen "France"; of "France", "Germany")' in start and "# Order form" in start
    assert "Nobody sees this" not in start and "At the very end" not in start
    assert '[10] button "Shadowed"' in start and '[11] button "Framed"' in start
    seen = [one for one in told(perform(http, steps, session_id)) if one][2:]
    assert seen[:5] == [
        "Clicked.",
        "Clicked.",
        "Clicked.",
        "Not done: the page waits for an answer to its prompt: answer_dialog",
        "Answered.",
    ]
    assert "a model" in seen[5]
    assert seen[6:10] == ["Clicked.", "It is open, in a new tab.", "Closed.", "This is tab 1 now."]
    assert "the page waits for an answer to its alert" in "\n".join(seen[10:13]) and seen[13:15] == ["Answered.", "It is open."]
    assert seen[15].startswith("Scrolled by ") and "At the very end" in seen[16] and seen[17].startswith("Scrolled by -")
    assert seen[19:22] == ["It is open.", "Went back.", "Pressed."] and "file: addresses are not allowed" in seen[22]
    assert f"* 1. Order - {site}\n  2. Elsewhere - {site}other" in seen[22]
    pages_now = http.get(f"/v1/sessions/{session_id}/pages").json()["data"]["items"]
    assert [one["url"] for one in pages_now] == [site, f"{site}other"]


@needs_chromium
def test_people_see_what_a_task_is_at(http: httpx2.Client, session_id: str, site: str) -> None:
    def seen(highlight: bool) -> bytes:
        """While the model waits after its first step."""
        asked = {"url": site, "highlight_elements": highlight, "async": True}
        steps = [{"click": {"element": "@I agree"}}, {"wait": {"seconds": 10}}]
        id = perform(http, steps, session_id, **asked).json()["data"]["workflow_id"]
        wait_until(lambda: http.get(f"/v1/tools/perform-web-task/{id}/status").json()["data"]["steps"] == 2, 20)
        picture = http.get(f"/v1/sessions/{session_id}/screenshot").content
        http.delete(f"/v1/tools/perform-web-task/{id}")
        return picture

    plain, marked = seen(False), seen(True)
    assert plain[:4] == b"\x89PNG" == marked[:4] and marked != plain and seen(False) == plain


@needs_chromium
def test_what_a_model_gets_wrong_is_told_to_it(http: httpx2.Client, session_id: str, site: str) -> None:
    steps: list[Any] = [
        [{"click": {"element": 77}}, {"click": {"element": "@Send it"}}],
        {"fly": {"to": "the moon"}},
        {"click": '{"element": '},
        "I would rather talk",
        {"type": {"element": "@Send it", "text": "x"}},
        {"select": {"element": "@Country", "choice": "Atlantis"}},
        {"type": {"element": "@Name", "text": "<secret:other>"}},
        {"done": {"result": "{seen}"}},
    ]
    seen = "\n".join(told(perform(http, [*steps[:4], {"wait": {"seconds": 0}}, *steps[4:]], session_id, url=site)))
    assert "there is no element 77" in seen and "a call before it failed" in seen
    assert "there is no tool fly; there are goto, click" in seen and "the arguments are not JSON" in seen
    assert "Go on by calling tools" in seen and "nothing that can be typed into" in seen
    assert 'no choice \\"Atlantis\\"; it has \\"France\\", \\"Germany\\"' in json.dumps(seen) and "there is no secret other" in seen


@needs_chromium
def test_tasks_that_come_to_nothing(serving: Installation, http: httpx2.Client, session_id: str, site: str) -> None:
    def error(steps: list[Any], **fields: Any) -> str:
        answer = perform(http, steps, session_id, **fields)
        assert answer.status_code == 500, answer.text
        return answer.json()["error"]["message"]

    wait = {"wait": {"seconds": 0}}
    assert error([wait], max_steps=2) == "not done after 2 steps (max_steps)"
    assert error([wait]).startswith("given up after 414 tokens: PASSEL_WEB_TASK_TOKENS")
    assert "5 answers of the model in a row could not be used" in error(["I cannot"])
    assert error([{"give_up": {"reason": "there is no such shop"}}]) == "the model gave up: there is no such shop"
    assert "cannot be reached: net::ERR_" in error([wait], url="http://127.0.0.1:9/")
    assert "HTTP 400: upstream says 400" in error([wait], model="status-400")
    assert "HTTP 500: upstream says 500" in error([wait], model="status-500")
    calls = [data for type, data in ledger(serving, session_id) if type == "model.call_failed"]
    assert [data["fault"] for data in calls] == ["refused", "broken", "broken"], "each of the calls is in the ledger"
    assert perform(http, [{"done": {"result": "found"}}], session_id, model="flaky-1-429+task").json()["data"]["steps"] == 1


@needs_chromium
def test_results_have_the_shape_that_was_asked_for(http: httpx2.Client, session_id: str) -> None:
    schema = {
        "type": "object",
        "properties": {"prices": {"type": "array", "items": {"$ref": "#/$defs/price"}}},
        "required": ["prices"],
        "$defs": {"price": {"type": "number"}},
    }
    wrong, right = {"prices": ["ten"]}, {"prices": [10.5]}
    answer = perform(http, [{"done": {"result": wrong}}, {"done": {"result": right}}], session_id, output_schema=schema)
    assert answer.json()["data"]["result"] == right
    as_text = perform(http, [{"done": {"result": json.dumps(right)}}], session_id, output_schema=schema)
    assert as_text.json()["data"]["result"] == right
    never = perform(http, [{"done": {"result": wrong}}], session_id, output_schema=schema)
    assert never.status_code == 500 and "prices.0" in never.json()["error"]["message"], never.text
    number = perform(http, [{"done": {"result": 7}}], session_id, output_schema={"type": "integer"})
    assert number.json()["data"]["result"] == {"result": 7}


@needs_chromium
def test_tasks_in_the_background_and_sessions_that_end(
    serving: Installation, http: httpx2.Client, model: PlayedModel, site: str, hooked: Receiver
) -> None:
    """Each end is told to webhooks, also where nobody was left to say so."""

    def status(task: Any) -> Any:
        return http.get(f"/v1/tools/perform-web-task/{task['workflow_id']}/status").json()["data"]

    made = http.post("/v1/sessions", json={"session": {"recording": {"active": False}}}).json()["data"]["id"]
    first = perform(http, [{"done": {"result": "one"}}], made, **{"async": True}).json()["data"]
    assert first["status"] == "running"
    wait_until(lambda: status(first)["status"] == "COMPLETED", 20)
    long = perform(http, [{"goto": {"url": site}}], made, model="wait-60+task", **{"async": True}).json()["data"]
    assert status(long)["status"] == "RUNNING"
    assert perform(http, [], made).status_code == 409, "one at a time"
    with http.stream("GET", f"/v1/tools/perform-web-task/{long['workflow_id']}/events") as stream:
        lines = (line for line in stream.iter_lines() if line.startswith("event: "))
        assert next(lines) == "event: browser.task_requested", "it is told as it happens"
        wait_until(lambda: model.state()["in_flight"], 20)
        http.delete(f"/v1/sessions/{made}")
        assert list(lines) == ["event: browser.task_ended"]
    wait_until(lambda: status(long)["status"] == "FAILED", 20)
    assert status(long)["error"] == "the session ended before its task was done: api" and status(first)["result"] == {"result": "one"}
    wait_until(lambda: http.get(f"/v1/sessions/{made}").json()["data"]["status"] == "completed", 20)
    entries = ledger(serving, made)
    assert [type for type, _ in entries].count("browser.task_ended") == 2
    assert [data["call"]["state"] for type, data in entries if type == "model.call_failed"] == ["in_doubt"], "it may have been paid"
    for nothing in (f"{made}.3", f"{made}.x", made, "x.1"):
        assert http.get(f"/v1/tools/perform-web-task/{nothing}/status").status_code == 404

    asked = perform(http, [{"goto": {"url": site}}], model="wait-60+task", **{"async": True}).json()["data"]
    stopped = http.delete(f"/v1/tools/perform-web-task/{asked['workflow_id']}")
    assert stopped.status_code == 200 and stopped.json()["data"]["error"] == "cancelled" and status(asked)["status"] == "FAILED"
    wait_until(lambda: http.get(f"/v1/sessions/{asked['session_id']}").json()["data"]["status"] == "completed", 20)
    assert http.delete(f"/v1/tools/perform-web-task/{asked['workflow_id']}").status_code == 409

    alone = perform(http, [{"goto": {"url": site}}], model="wait-60+task", **{"async": True}).json()["data"]
    serving.children("worker")[0].kill()
    wait_until(lambda: status(alone)["status"] == "FAILED", 60)
    assert "worker_lost" in status(alone)["error"] and rows(serving, INVARIANTS) == []
    heard = {one.body["data"]["workflow_id"]: one.body for one in hooked.wait_for(4, 30)}
    assert {id: body["type"] for id, body in heard.items()} == {
        first["workflow_id"]: "task.completed",
        long["workflow_id"]: "task.failed",
        asked["workflow_id"]: "task.failed",
        alone["workflow_id"]: "task.failed",
    }
    assert heard[first["workflow_id"]]["data"]["result"] == {"result": "one"}
    assert "worker_lost" in heard[alone["workflow_id"]]["data"]["error"]

    listed = http.get("/v1/sessions", params={"task_initiated": True, "limit": 50, "sort_order": "desc"}).json()["data"]["sessions"]
    counted = {row["id"]: (row["task_initiated"], row["task_executions_count"], row["steps"]) for row in listed}
    assert counted[alone["session_id"]] == (True, 1, 0) and counted[made] == (True, 2, 1)
    assert made not in {row["id"] for row in http.get("/v1/sessions", params={"task_initiated": False}).json()["data"]["sessions"]}


@needs_chromium
def test_the_vendors_client(serving: Installation, site: str) -> None:
    client = Anchorbrowser(api_key=KEY, base_url=serving.url)
    steps = [{"type": {"element": "@Name", "text": "Grace", "submit": True}}, {"done": {"result": {"name": "Grace"}}}]
    asked = f"script:{json.dumps(steps)}"
    schema = {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}
    options: Any = {"url": site, "output_schema": schema, "max_steps": 5, "agent": "browser-use"}
    made: Any = client.sessions.create_session(session={"recording": {"active": False}}).data
    with websocket(get_agent_ws_url(serving.url, str(made.id))) as steps_of_it:  # as `on_agent_step` listens
        gives_up = json.dumps([{"wait": {"seconds": 0}}, {"give_up": {"reason": "that was all"}}])
        with pytest.raises(APIStatusError, match="that was all"):
            client.agent.task(f"script:{gives_up}", session_id=made.id)
        heard = [json.loads(steps_of_it.recv(timeout=20))["type"].removeprefix("browser.task_") for _ in range(5)]
        assert heard == ["requested", "answered", "acted", "answered", "ended"]
        client.sessions.delete_session(made.id)
        with pytest.raises(ConnectionClosed):
            steps_of_it.recv(timeout=20)
    answer = client.agent.task(asked, task_options=options)
    assert answer.data.result == {"name": "Grace"}
    begun = client.tools.perform_web_task(prompt=asked, url=site, async_=True)
    wait_until(lambda: client.tools.get_perform_web_task_status(begun.data.workflow_id).data.status != "RUNNING", 30)
    assert client.tools.get_perform_web_task_status(begun.data.workflow_id).data.status == "COMPLETED"
    with pytest.raises(APIStatusError, match="gave up"):
        client.tools.perform_web_task(prompt='script:[{"give_up":{"reason":"no"}}]')


def test_what_is_not_served_is_said(serving: Installation, http: httpx2.Client) -> None:
    keyless = perform(http, [], provider="openai", model="gpt-5.5")
    assert keyless.status_code == 501 and "OPENAI_API_KEY" in keyless.json()["error"]["message"]
    for fields, said in (
        ({"provider": "gemini", "model": "x"}, "provider: gemini is not supported"),
        ({"provider": "openai"}, "model: name a model"),
        ({"provider": "openai", "model": "anthropic:claude"}, "no model of openai"),
        ({"agent": "openai-cua"}, "agent: openai-cua is not supported"),
        ({"agent": "somebody"}, "agent"),
        ({"human_intervention": True}, "human_intervention: is not supported"),
        ({"url": "file:///etc/passwd"}, "url: file: addresses are not allowed"),
        ({"max_steps": 0}, "max_steps"),
        ({"max_steps": "5"}, "max_steps"),
        ({"output_schema": {"type": "nothing"}}, "output_schema: is no JSON Schema"),
        ({"output_schema": {"$ref": "https://example.com/x"}}, "output_schema: is no JSON Schema"),
        ({"secret_values": {"a": ""}}, "secret_values.a"),
        ({"secret_values": {"a>": "x"}}, "secret_values"),
        ({"secret_values": {"a": ["private"]}}, "secret_values.a"),
        ({"prompt": " "}, "prompt: must not be empty"),
        ({"prompt": "a\0b"}, "prompt"),
    ):
        answer = perform(http, [], **fields)
        assert answer.status_code == 400 and said in answer.json()["error"]["message"], (fields, answer.text)
        assert "private" not in answer.text
    assert http.post("/v1/tools/perform-web-task", json={}).status_code == 400


def test_secrets_are_hidden_however_they_are_written() -> None:
    secrets = Secrets({"code": 'pass word/"1"', "pin": "12"})
    for seen in ('pass word/"1"', "pass%20word%2F%221%22", "pass+word%2F%221%22", 'pass word/\\"1\\"', "it is pass wo…"):
        hidden = secrets.hide(f"begin {seen} end" if "…" not in seen else seen)
        assert "<secret:code>" in hidden and "word" not in hidden, seen
    assert secrets.hide("12 monkeys") == "12 monkeys" and secrets.reveal("<secret:pin>!") == "12!"
