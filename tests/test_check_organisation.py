"""What an organisation keeps for its verifications: settings, profiles, its keys and those of model providers."""

import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from tests.support.installation import Installation, PlayedModel, scratch_dir, wait_until
from tests.test_tenancy import stranger

__all__ = ["stranger"]

DEFAULT = {"profile": "unlimited", "model": None, "baseUrl": None, "panel": [], "monthlyLimit": None, "review": True, "calibrators": {}}


@pytest.fixture(scope="module")
def passel() -> Iterator[Installation]:
    """One of its own: profiles are changed here."""
    with scratch_dir() as directory:
        installation = Installation(directory, 1).start()
        yield installation
        assert installation.stop() == 0


@pytest.fixture(autouse=True)
def _defaults(passel: Installation) -> Iterator[None]:
    yield
    assert put(passel.http(), **DEFAULT) == DEFAULT


def put(http: httpx2.Client, **settings: Any) -> Any:
    answer = http.put("/v1/settings", json=settings)
    assert answer.status_code == 200, answer.text
    return answer.json()


def error(answer: httpx2.Response) -> tuple[int, str, str]:
    told = answer.json()["error"]
    return answer.status_code, told["code"], told["message"]


def test_settings_stay_until_they_are_changed(passel: Installation) -> None:
    http = passel.http()
    assert http.get("/v1/settings").json() == DEFAULT
    changed = put(http, model="openai:gpt-5.5", panel=["anthropic:claude-haiku-4-5", "local:smollm2"])
    assert put(http, review=False) == changed | {"review": False} == http.get("/v1/settings").json()
    assert put(http, model=None, panel=[])["model"] is None


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"profile": "gold"}, "profile"),
        ({"profile": None}, "profile"),
        ({"model": "openai: "}, "model"),
        ({"model": 3}, "model"),
        ({"panel": ["openai:x", ""]}, "panel[1]"),
        ({"panel": ["x"] * 11}, "panel"),
        ({"baseUrl": "ftp://x"}, "baseUrl"),
        ({"baseUrl": "http://[::1"}, "baseUrl"),
        ({"monthlyLimit": -1}, "monthlyLimit"),
        ({"monthlyLimit": 1.5}, "monthlyLimit"),
        ({"review": "no"}, "review"),
    ],
)
def test_wrong_settings_are_refused(passel: Installation, body: Any, field: str) -> None:
    answer = passel.http().put("/v1/settings", json=body)
    assert answer.status_code == 422 and answer.json()["error"]["details"][0]["field"] == field, answer.text


def test_a_profile_has_its_methods_and_limits(passel: Installation) -> None:
    http = passel.http()

    def verify() -> httpx2.Response:
        return http.post("/v1/verify", json={"content": "1 = 1", "methods": {"formal": 1}})

    def batch(count: int, **methods: float) -> httpx2.Response:
        return http.post("/v1/batch", json={"items": [{"content": "1 = 1"}] * count, "methods": methods or {"reasoning": 1}})

    put(http, profile="pro")
    refused = (403, "forbidden", "Method 'formal' is not available on the pro plan.")
    assert error(verify()) == error(batch(1, formal=1)) == refused
    assert error(batch(1001)) == (422, "validation_error", "Batch exceeds maximum of 1000 items")
    csv = {"file": ("a.csv", b"content\n1 = 1\n")}
    assert http.post("/v1/batch/upload", files=csv).status_code == 200
    put(http, profile="free")
    no_batches = (402, "quota_exceeded", "Batch processing is not available on the free plan.")
    assert error(batch(1)) == error(http.post("/v1/batch/upload", files=csv)) == no_batches
    put(http, profile="enterprise")
    assert verify().json()["decision"] == "accept"
    made = batch(1, formal=1)
    assert made.status_code == 202 and made.json()["expiresAt"] > made.json()["createdAt"]


def test_where_nobody_reviews_nothing_is_escalated(passel: Installation) -> None:
    put(passel.http(), review=False)
    body = passel.http().post("/v1/verify", json={"content": "green is kind", "methods": {"formal": 1}}).json()
    assert (body["status"], body["decision"]) == ("completed", "escalate") and "escalation" not in body
    assert passel.http().get("/v1/escalations").json()["data"] == []


def test_an_owned_organisation_does_not_lift_its_own_limits(passel: Installation, stranger: str) -> None:
    http = passel.http()
    child = http.post("/v1/organizations", json={"name": "Child"}).json()["id"]
    key = http.post(f"/v1/organizations/{child}/api-keys", json={"label": "child"}).json()["api_key"]
    for field, value in (("profile", "enterprise"), ("monthlyLimit", 10)):
        assert error(passel.http(key).put("/v1/settings", json={field: value}))[:2] == (403, "forbidden")
    assert put(passel.http(key), model="openai:x")["model"] == "openai:x"
    answer = http.put("/v1/settings", params={"organization": child}, json={"profile": "free"})
    assert answer.json()["profile"] == "free" == passel.http(key).get("/v1/settings").json()["profile"]
    assert http.get("/v1/settings").json() == DEFAULT
    assert error(passel.http(stranger).get("/v1/settings", params={"organization": child}))[0] == 403
    assert error(http.get("/v1/settings", params={"organization": "org_nothing"}))[0] == 404


def test_settings_on_the_command_line(passel: Installation) -> None:
    def run(*words: str) -> subprocess.CompletedProcess[str]:
        environment = passel.environment() | {"PASSEL_URL": passel.url}
        return subprocess.run([sys.executable, "-m", "passel", "settings", *words], env=environment, capture_output=True, text=True)

    done = run("set", "model=openai:gpt-5.5", "panel=a:b, local:c", "review=off", "monthlyLimit=7", "--json")
    assert done.returncode == 0, done.stderr
    told = {"model": "openai:gpt-5.5", "panel": ["a:b", "local:c"], "review": False, "monthlyLimit": 7}
    assert json.loads(done.stdout) == DEFAULT | told
    assert "monthlyLimit" in run("get").stdout
    assert json.loads(run("set", "model=", "panel=", "review=on", "monthlyLimit=", "--json").stdout) == DEFAULT
    for wrong in ("profil=pro", "profile", "monthlyLimit=x", "review=maybe"):
        assert run("set", wrong).returncode == 2
    assert "profile must be one of" in run("set", "profile=gold").stderr


def test_provider_keys_are_kept_and_never_shown(passel: Installation, stranger: str) -> None:
    http = passel.http()
    assert http.get("/v1/provider-keys").json() == {"data": []}
    made = http.put("/v1/provider-keys/openai", json={"key": "sk-secret-of-ours"})
    assert made.status_code == 201 and set(made.json()) == {"provider", "createdAt", "updatedAt"}
    again = http.put("/v1/provider-keys/openai", json={"key": "sk-secret-of-ours-2"})
    assert again.status_code == 200 and again.json()["createdAt"] == made.json()["createdAt"]
    listed = http.get("/v1/provider-keys")
    assert [one["provider"] for one in listed.json()["data"]] == ["openai"] and "sk-secret" not in listed.text
    assert http.get("/v1/organizations/current/credentials").json() == {"credentials": []}
    assert passel.http(stranger).get("/v1/provider-keys").json() == {"data": []}
    assert error(passel.http(stranger).delete("/v1/provider-keys/openai"))[:2] == (404, "not_found")
    assert error(http.put("/v1/provider-keys/local", json={"key": "x"}))[:2] == (404, "not_found")
    for body in ({}, {"key": " "}, {"key": 3}, {"key": "x\0"}):
        assert http.put("/v1/provider-keys/anthropic", json=body).json()["error"]["details"][0]["field"] == "key"
    assert http.delete("/v1/provider-keys/openai").status_code == 204
    assert error(http.delete("/v1/provider-keys/openai"))[:2] == (404, "not_found")


def test_a_provider_key_goes_where_its_organisation_says(model: PlayedModel) -> None:
    """To a server that it chose, not to the one that the operator did."""
    settings = {"PASSEL_VERIFICATION_MODEL": "verifier", "PASSEL_VERIFICATION_BASE_URL": model.url, "PASSEL_MODEL_TIMEOUT": "5"}
    with scratch_dir() as directory:
        installation = Installation(directory, 1, settings).start()
        http = installation.http()
        assert http.put("/v1/provider-keys/openai", json={"key": "sk-only-for-those-we-name"}).status_code == 201

        def ask(content: str) -> Any:
            return http.post("/v1/verify", json={"content": content, "methods": {"reasoning": 1}}).json()

        assert ask("ice floats")["status"] in ("completed", "escalated")
        assert "sk-only-for-those-we-name" not in model.state()["keys"]
        put(http, model="verifier", baseUrl=f"{model.url}/v1")
        assert ask("iron sinks")["status"] in ("completed", "escalated")
        assert "sk-only-for-those-we-name" in model.state()["keys"]
        assert installation.stop() == 0


def test_keys_are_made_listed_and_revoked(passel: Installation, stranger: str) -> None:
    http = passel.http()
    made = http.post("/v1/keys", json={"name": "ci"})
    assert made.status_code == 201
    body = made.json()
    assert body["key"].startswith("vfy_") and body["key"].startswith(body["prefix"]) and body["revokedAt"] is None
    own = passel.http(body["key"])
    listed = own.get("/v1/keys").json()["data"]
    assert [one["name"] for one in listed][-1] == "ci" and "key" not in listed[-1]
    assert error(passel.http(stranger).delete(f"/v1/keys/{body['id']}"))[:2] == (404, "not_found")
    assert http.post("/v1/keys", json={"name": ""}).json()["error"]["details"][0]["field"] == "name"
    revoked = http.delete(f"/v1/keys/{body['id']}").json()
    assert revoked["revokedAt"] and http.delete(f"/v1/keys/{body['id']}").json() == revoked
    said = wait_until(lambda: (answer := own.get("/v1/keys")).status_code == 401 and answer)
    assert error(said) == (401, "unauthorized", "API key has been revoked")
    assert own.get("/v1/agents").json() == {"detail": "Missing or invalid API key"}
