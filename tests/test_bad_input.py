"""Bad input gets a 4xx with a readable `detail`, and leaves nothing behind."""

import io
import json
import tarfile
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from passel.cli.client import Client
from tests.support.installation import KEY, Installation, PlayedModel, item, scratch_dir

JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=8,
)
# every place of a batch request, as a path into it
PLACES = [
    ("idempotency_key",), ("max_concurrency",), ("items",), ("items", 0), ("items", 0, "agent_id"), ("items", 0, "version_id"),
    ("items", 0, "llm_id"), ("items", 0, "metadata"), ("items", 0, "metadata", "k"), ("items", 0, "secrets"),
    ("items", 0, "secrets", "K"), ("items", 0, "message"), ("items", 0, "message", "content"),
    ("items", 0, "message", "content", 0), ("items", 0, "message", "content", 0, "type"),
    ("items", 0, "message", "content", 0, "text"), ("items", 0, "message", "metadata"), ("items", 0, "unknown"),
]  # fmt: skip


def whole_request(agent: str) -> dict[str, Any]:
    full = item(agent, "hello", llm_id="echo", metadata={"k": "v"}, secrets={"K": "v"})
    full["message"]["metadata"] = {"m": 1}
    return {"items": [full]}


def readable(answer: Any) -> str:
    """The `detail` of an error, which is one sentence of a sane length."""
    detail = answer.json()["detail"]
    assert isinstance(detail, str) and 3 < len(detail) <= 2000 and "Traceback" not in detail, answer.text
    return detail


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.sampled_from(PLACES), value=JSON)
def test_any_value_in_any_field_of_a_batch(passel: Installation, agent: str, place: tuple[Any, ...], value: Any) -> None:
    body = whole_request(agent)
    target: Any = body
    for step in place[:-1]:
        target = target[step]
    target[place[-1]] = value
    before = passel.client.get("/v1/session-batches", limit=1)["session_batches"]
    answer = passel.http().post("/v1/session-batches", content=json.dumps(body), headers={"Content-Type": "application/json"})
    assert answer.status_code in (201, 403, 404, 413, 422), (answer.status_code, answer.text)
    if answer.status_code == 201:
        assert sum(answer.json()["counts"].values()) == len(body["items"])
        passel.client.post(f"/v1/session-batches/{answer.json()['batch_id']}/cancel")
    else:
        readable(answer)
        assert passel.client.get("/v1/session-batches", limit=1)["session_batches"] == before


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "body"),
        (b"{", "valid JSON"),
        (b"[]", "object"),
        (b'{"items": []}', "items"),
        (b'{"items": [{}]}', "items[0].agent_id"),
        (b"\xff\xfe\x00", "JSON"),
        (b"[" * 100_000, ""),
        (b'{"items": [' + b"1," * 50_000 + b"1]}", "items[0]"),
        (b'{"items": [{"agent_id": "a", "message": {"content": [{"type": "text", "text": "\\u0000"}]}}]}', "items[0].message.content[0].text"),
        (b'{"items": [{"agent_id": "a", "message": {"content": [{"type": "video"}]}}]}', "content[0]"),
        (b'{"items": [{"agent_id": "a", "secret": {}, "message": {"content": []}}]}', "secret"),
        (b'{"items": [{"agent_id": "a", "message": {"content": [{"type": "text", "text": "x"}], "metadata": {"n": 1e400}}}]}', ""),
    ],
)  # fmt: skip
def test_broken_batches_name_the_field(passel: Installation, body: bytes, said: str) -> None:
    answer = passel.http().post("/v1/session-batches", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 422, answer.text
    assert said in readable(answer)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"type": "user.message", "content": []}, "content: List should have at least 1 item"),
        ({"type": "user.message"}, "content"),
        ({"type": "bot.message", "content": []}, "type"),
        ({}, "type"),
        ({"type": "user.message", "content": [{"type": "text"}]}, "content[0].text: Field required"),
        ({"events": []}, "events"),
        ({"type": "y" * 100_000, "content": []}, "type"),
        ({"type": "tool.result_submitted", "message_id": "m", "tool_call_id": "t"}, "result is required"),
        ({"type": "tool.result_submitted", "message_id": "m", "tool_call_id": "t", "result": "\x00"}, "NUL"),
    ],
)
def test_broken_events_name_the_field(passel: Installation, agent: str, body: Any, said: str) -> None:
    session = passel.client.post(f"/v1/agents/{agent}/sessions", {})
    answer = passel.http().post(f"/v1/sessions/{session['id']}/events", json=body)
    assert answer.status_code == 422 and said in readable(answer), answer.text
    assert passel.client.get(f"/v1/sessions/{session['id']}/events")["events"] == []


def places(answer: Any) -> list[str]:
    assert answer.status_code in (404, 422), answer.text
    readable(answer)
    errors = answer.json()["errors"]
    assert all(set(error) == {"loc", "msg"} and error["msg"] for error in errors)
    return sorted(error["loc"] for error in errors)


HELLO = [{"type": "text", "text": "hello"}]
LATER = [*HELLO, {"type": "file", "file_id": "file_none"}]


@pytest.mark.parametrize(
    ("body", "broken"),
    [
        ({"session": {"metadata": {"k": 1}, "llm_id": 7, "zzz": 1}, "content": HELLO}, ["session.llm_id", "session.metadata.k", "session.zzz"]),
        ({"session": {"llm_id": "none"}, "content": HELLO}, ["session.llm_id"]),
        ({"session": {"version_id": "none"}, "content": HELLO}, ["session.version_id"]),
        ({"session": {"storage_binding_id": "none"}, "content": HELLO}, ["session.storage_binding_id"]),
        ({"session": {"llm_id": "none", "secrets": {"low": "x", "OK": "x", "EMPTY": ""}, "metadata": {"k" * 65: "", "v": "x" * 513}}, "content": HELLO},
         ["session.llm_id", f"session.metadata.{'k' * 65}", "session.metadata.v", "session.secrets.EMPTY", "session.secrets.low"]),
        ({"content": [*HELLO, {"type": "file"}, {"type": "film"}], "metadata": []}, ["content[1].file_id", "content[2]", "metadata"]),
        ({"content": [*LATER, {"type": "image", "file_id": "file_nor_this"}]}, ["content[1].file_id", "content[2].file_id"]),
    ],
)  # fmt: skip
def test_each_broken_field_is_an_entry_with_its_whole_path(passel: Installation, agent: str, body: Any, broken: list[str]) -> None:
    answer = passel.http().post(f"/v1/agents/{agent}/messages", json={"type": "user.message", **body})
    assert places(answer) == broken, answer.text


def test_paths_of_other_bodies(passel: Installation, agent: str) -> None:
    http = passel.http()
    session = passel.client.post(f"/v1/agents/{agent}/sessions", {})["id"]
    old = {"events": [{"type": "user.message", "content": LATER}]}
    assert places(http.post(f"/v1/sessions/{session}/events", json=old)) == ["events[0].content[1].file_id"]
    assert places(http.post(f"/v1/sessions/{session}/messages", json={"parts": LATER})) == ["parts[1].file_id"]
    assert places(http.post("/v1/source-snapshots", json={"format": "zip", "sha256": "no"})) == ["format", "sha256", "size_bytes"]
    assert places(http.post("/v1/organizations/current/api-keys", json={"labl": "x"})) == ["label", "labl"]
    assert places(http.get("/v1/sessions", params={"limit": 0, "status": "zz"})) == ["limit", "status"]
    assert places(http.post("/v1/agents", json=[])) == ["body"]
    assert places(http.post("/v1/files", files={"other": ("a", b"x")})) == ["file"]
    assert places(http.post("/v1/session-batches", json={"items": [item(agent, "x"), item("agt_other", "x")]})) == ["items[1].agent_id"]


def test_broken_items_of_a_batch_are_told_together(passel: Installation, agent: str) -> None:
    broken = [item(agent, "x"), {"agent_id": 1, "message": {"content": []}}, *[item(agent, "x")] * 150, {"agent_id": agent}]
    answer = passel.http().post("/v1/session-batches", json={"items": broken, "max_concurrency": 0, "idempotencyKey": "k"})
    assert places(answer) == ["idempotencyKey", "items[152].message", "items[1].agent_id", "items[1].message.content", "max_concurrency"]
    many = passel.http().post("/v1/session-batches", json={"items": [{}] * 100})
    assert len(places(many)) == 20 and "and 1" in readable(many)


def test_a_nul_in_a_url_is_refused(passel: Installation) -> None:
    for path in ("/v1/sessions/a%00b", "/v1/sessions?metadata.k=a%00", "/v1/agents/%00/versions"):
        answer = passel.http().get(path)
        assert answer.status_code == 400 and "NUL" in readable(answer)


def test_nothing_of_a_strangers_body_is_read(passel: Installation) -> None:
    import httpx2

    with httpx2.Client(base_url=passel.url, timeout=30) as stranger:
        for path, body in (("/v1/agents", b"{"), ("/v1/files", b"x" * 1000), ("/v1/session-batches", b"{"), ("/v1/sessions/x/stream", b"")):
            answer = stranger.request("GET" if path.endswith("stream") else "POST", path, content=body)
            assert answer.status_code == 401 and readable(answer) == "Missing or invalid API key"


def test_bodies_over_the_limit_are_413_however_they_come(passel: Installation) -> None:
    large = b'{"source_snapshot_id": "' + b"x" * (5 * 1024 * 1024) + b'"}'

    def pieces() -> Any:
        for start in range(0, len(large), 65536):
            yield large[start : start + 65536]

    headers = {"Content-Type": "application/json"}
    for content in (large, pieces()):
        answer = passel.http().post("/v1/agents", content=content, headers=headers)
        assert answer.status_code == 413, answer.text
        readable(answer)
    beside = b'{"what": "' + b"x" * (17 * 1024 * 1024) + b'", "items": []}'
    answer = passel.http().post("/v1/session-batches", content=beside, headers=headers)
    assert answer.status_code == 413 and "a field beside items" in readable(answer)


def upload(passel: Installation, archive: bytes) -> str:
    import hashlib

    client = passel.client
    request = {"format": "tar.gz", "sha256": hashlib.sha256(archive).hexdigest(), "size_bytes": len(archive)}
    snapshot = client.post("/v1/source-snapshots", request)
    client.upload(snapshot["upload_url"], archive, snapshot["upload_headers"])
    assert client.post(f"/v1/source-snapshots/{snapshot['source_snapshot_id']}/finalize")["status"] == "ready"
    return snapshot["source_snapshot_id"]


def bundle(manifest: str | bytes, *, prompt: bytes = b"Be brief.", extra: Any = None) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, data in (("dari.yml", manifest.encode() if isinstance(manifest, str) else manifest), ("prompts/system.md", prompt)):
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
        if extra:
            extra(tar)
    return buffer.getvalue()


GOOD = "name: a\nharness: pi\ninstructions: {system: prompts/system.md}\nllm: {model: openai/gpt-5.5}\nbuilt_in_tools: []\n"


@pytest.mark.parametrize(
    ("manifest", "said"),
    [
        ("", "mapping"),
        ("a: [", "YAML"),
        (b"\x80abc", "YAML"),
        ("x: !!bool foo", "YAML"),
        ("x: !!timestamp foo", "YAML"),
        ('x: !!int ""', "YAML"),
        ("? 0x" + "f" * 5000 + "\n: 1", ""),
        ('"\\ud800": 1', "surrogate"),
        ("a: &a {k: 1}\nb:\n  <<: *a\n", "merge"),
        ("[" * 20_000, "YAML"),
        ("x: " + "y" * 300_000, "256 KiB"),
        (GOOD + "name: b\n", "twice"),
        (GOOD.replace("built_in_tools: []\n", ""), "built_in_tools: []"),
        (GOOD + "sandbox: {internet_access: true}\n", "sandbox"),
        (GOOD + "custom_tools: [{name: x}]\nskills: [{name: y}]\n", "skills"),
        (GOOD + "custom_tools: [{name: x}]\n", "custom_tools[0].path"),
        (GOOD.replace("harness: pi", "harness: {kind: pi, foo: 1}"), "harness.foo"),
        (GOOD.replace("harness: pi", "harness: {kind: customRuntimeServer}"), "customRuntimeServer"),
        (GOOD.replace("prompts/system.md", "../secret"), "instructions.system"),
        (GOOD.replace("prompts/system.md", "nope.md"), "nope.md"),
        (GOOD.replace("openai/gpt-5.5", "openai/"), "llm.model"),
        (GOOD.replace("{model: openai/gpt-5.5}", "{model: openai/x, settings: {temperature: 9}}"), "temperature"),
        (GOOD.replace("{model: openai/gpt-5.5}", "{model: openai/x, settings: []}"), "settings"),
        (GOOD.replace("{model: openai/gpt-5.5}", "{default: b, options: {a: {model: openai/x}}}"), "llm.default"),
        (GOOD.replace("{model: openai/gpt-5.5}", "{model: openai/x, api_key_secret: NOT_STORED}"), ""),
        (GOOD.replace("{model: openai/gpt-5.5}", '{model: openai/x, base_url: "ftp://x"}'), "base_url"),
        ("sdk: openai-agents\nname: a\n", "sdk"),
    ],
)
def test_hostile_manifests_are_refused_with_advice(passel: Installation, manifest: Any, said: str) -> None:
    snapshot = upload(passel, bundle(manifest))
    http = passel.http()
    shown, published = http.get(f"/v1/source-snapshots/{snapshot}/manifest"), http.post("/v1/agents", json={"source_snapshot_id": snapshot})
    assert published.status_code == 400, published.text
    assert said in readable(published)
    if "NOT_STORED" not in str(manifest):
        assert shown.status_code == 400 and readable(shown) == readable(published)
    assert http.delete(f"/v1/source-snapshots/{snapshot}").status_code == 200


def _member(name: str, **fields: Any) -> Any:
    def add(tar: tarfile.TarFile) -> None:
        info = tarfile.TarInfo(name)
        for key, value in fields.items():
            setattr(info, key, value)
        tar.addfile(info, io.BytesIO(b"\0" * max(0, info.size)))

    return add


@pytest.mark.parametrize(
    ("extra", "said"),
    [
        (_member("link", type=tarfile.SYMTYPE, linkname="/etc/passwd"), "not a regular file"),
        (_member("pipe", type=tarfile.FIFOTYPE), "not a regular file"),
        (_member("../out"), "relative path"),
        (_member("/abs"), "relative path"),
        (_member("dari.yml"), "twice"),
        (_member("new\nline"), "no name for a file"),
        (_member("bad\udcff"), "no name for a file"),
        (_member("@LongLink", type=tarfile.GNUTYPE_LONGNAME, size=3 * 1024 * 1024), "header"),
    ],
)
def test_hostile_archives_are_refused(passel: Installation, extra: Any, said: str) -> None:
    snapshot = upload(passel, bundle(GOOD, extra=extra))
    answer = passel.http().get(f"/v1/source-snapshots/{snapshot}/manifest")
    assert answer.status_code == 400 and said in readable(answer), answer.text


def test_a_snapshot_cannot_change_after_it_was_finalized(passel: Installation) -> None:
    import hashlib

    archive = bundle(GOOD)
    request = {"format": "tar.gz", "sha256": hashlib.sha256(archive).hexdigest(), "size_bytes": len(archive)}
    snapshot = passel.client.post("/v1/source-snapshots", request)
    url, path = snapshot["upload_url"], f"/v1/source-snapshots/{snapshot['source_snapshot_id']}"
    http = passel.http()
    assert http.post(f"{path}/finalize").status_code == 409  # nothing there yet: the client may still upload
    assert http.put(url.replace("token=", "token=0"), content=archive).status_code == 403
    assert http.put(url, content=b"tampered").status_code == 200
    assert http.put(url, content=archive).status_code == 200

    def slow() -> Any:  # its upload began before the finalization, and ends after it
        yield archive[:10]
        assert passel.client.post(f"{path}/finalize")["status"] == "ready"
        yield b"something else"

    assert http.put(url, content=slow()).status_code == 409
    assert http.get(f"{path}/manifest").json()["manifest"]["name"] == "a"
    assert http.post(f"{path}/finalize").json()["status"] == "ready"


def test_the_openapi_document_describes_what_happens() -> None:
    """Schemathesis makes requests of every operation from our own document: no 5xx, and only documented statuses."""
    with scratch_dir() as directory:
        passel = Installation(directory, 0).start()
        schema = schemathesis.openapi.from_url(f"{passel.url}/openapi.json")
        from schemathesis.checks import CHECKS
        from schemathesis.core.result import Ok

        checks = CHECKS.get_by_names(["not_a_server_error", "status_code_conformance"])
        tried = 0
        for result in schema.get_all_operations():
            assert isinstance(result, Ok), result
            operation = result.ok()

            @settings(max_examples=3, deadline=None, database=None, suppress_health_check=list(HealthCheck))
            @given(case=operation.as_strategy())
            def probe(case: Any) -> None:
                case.call_and_validate(checks=checks, headers={"Authorization": f"Bearer {KEY}"})

            probe()
            tried += 1
        assert tried > 30
        Client(passel.url, KEY).close()
        assert passel.stop() == 0
        assert "Traceback" not in (directory / "serve.err").read_text()


def test_private_addresses_are_refused_where_the_server_is_public(model: PlayedModel) -> None:
    with scratch_dir() as directory:
        passel = Installation(directory, 0, {"PASSEL_ALLOW_PRIVATE_URLS": "0"}).start()
        for host in ("127.0.0.1", "localhost", "[::1]", "10.0.0.1", "169.254.169.254", "0x7f000001"):
            manifest = GOOD.replace("{model: openai/gpt-5.5}", f'{{model: openai/x, base_url: "http://{host}/v1"}}')
            snapshot = upload(passel, bundle(manifest))
            answer = passel.http().post("/v1/agents", json={"source_snapshot_id": snapshot})
            assert answer.status_code == 400 and "private address" in readable(answer), (host, answer.text)
        assert passel.stop() == 0
