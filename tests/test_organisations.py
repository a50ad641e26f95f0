"""Organisations that own others, keys with their kinds and scopes, and how soon a revoked key stops working."""

import concurrent.futures
from typing import Any

import httpx2
import pytest

from tests.support.installation import Installation, scratch_dir

ORGS = "/v1/organizations"


def make(http: httpx2.Client, name: str) -> tuple[dict[str, Any], str]:
    """A new organisation with a key of its own."""
    org = http.post(ORGS, json={"name": name}).json()
    key = http.post(f"{ORGS}/{org['id']}/api-keys", json={"label": "own"}).json()["api_key"]
    return org, key


def test_a_key_manages_what_its_organisation_owns_downwards_only(passel: Installation) -> None:
    root = passel.http()
    made = root.post(ORGS, json={"name": "Child"})
    assert made.status_code == 201 and set(made.json()) == {"id", "name", "slug", "role", "is_personal"}
    child, child_key = made.json(), root.post(f"{ORGS}/{made.json()['id']}/api-keys", json={"label": "own"}).json()["api_key"]
    sibling, _ = make(root, "Sibling")
    grandchild, grandchild_key = make(passel.http(child_key), "Grandchild")
    own = root.get(ORGS).json()["organizations"]
    assert {child["id"], sibling["id"], grandchild["id"]} < {org["id"] for org in own}

    theirs = passel.http(child_key)
    assert [org["id"] for org in theirs.get(ORGS).json()["organizations"]] == [child["id"], grandchild["id"]]
    for key, foreign in ((child_key, own[0]), (child_key, sibling), (grandchild_key, child)):
        refused = passel.http(key).get(f"{ORGS}/{foreign['id']}/api-keys")
        assert refused.status_code == 403 and "another" in refused.json()["detail"]
    assert theirs.get(f"{ORGS}/org_nowhere/api-keys").status_code == 404

    # credentials of an owned organisation can be set from above, and are its own
    assert root.put(f"{ORGS}/{grandchild['id']}/credentials/DEEP", json={"value": "x"}).status_code == 200
    assert passel.http(grandchild_key).get(f"{ORGS}/current/credentials").json()["credentials"][0]["name"] == "DEEP"
    assert theirs.get(f"{ORGS}/current/credentials").json() == {"credentials": []}
    assert theirs.get("/v1/agents").json() == {"agents": []}  # owning is managing, not reading their work


def test_the_twin_of_deleting_an_agent(passel: Installation) -> None:
    agent = passel.deploy("http://127.0.0.1:9", ["echo"], name="twin")
    http = passel.http()
    child, _ = make(http, "No agents")
    assert http.delete(f"{ORGS}/{child['id']}/agents/{agent}").status_code == 403
    deleted = http.delete(f"{ORGS}/current/agents/{agent}").json()
    assert deleted["deleted_at"] and deleted == http.delete(f"/v1/agents/{agent}").json()
    assert http.delete(f"{ORGS}/current/agents/agt_nowhere").status_code == 404


def test_a_device_has_one_managed_key(passel: Installation) -> None:
    http, path = passel.http(), f"{ORGS}/current/managed-cli-key/ensure"
    first = http.post(path, json={"device_name": "laptop"}).json()
    assert first["kind"] == "managed" and first["device_name"] == "laptop" and first["scopes"] == ["platform"]
    assert passel.http(first["api_key"]).get("/v1/agents").status_code == 200
    other = http.post(path, json={"device_name": "desktop"}).json()
    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda _: http.post(path, json={"device_name": "laptop"}), range(6)))
    assert {answer.status_code for answer in answers} == {201}
    assert passel.http(first["api_key"]).get("/v1/agents").status_code == 401  # at once, though it was in use a moment ago
    alive = [a for a in answers if passel.http(a.json()["api_key"]).get("/v1/agents").status_code == 200]
    assert len(alive) == 1 and passel.http(other["api_key"]).get("/v1/agents").status_code == 200
    listed = http.get(f"{ORGS}/current/api-keys").json()["api_keys"]
    assert len([key for key in listed if key["device_name"] == "laptop" and not key["revoked_at"]]) == 1


def test_a_revoked_key_stops_at_once_where_it_was_revoked(passel: Installation) -> None:
    http = passel.http()
    made = http.post(f"{ORGS}/current/api-keys", json={"label": "busy"}).json()
    assert passel.http(made["api_key"]).get("/v1/agents").status_code == 200
    http.delete(f"{ORGS}/current/api-keys/{made['id']}")
    assert passel.http(made["api_key"]).get("/v1/agents").status_code == 401


def test_scopes_are_kept_and_count(passel: Installation) -> None:
    http, path = passel.http(), f"{ORGS}/current/api-keys"
    for scopes in (["bogus"], [], ["platform", "bogus"], "platform"):
        refused = http.post(path, json={"label": "x", "scopes": scopes})
        assert refused.status_code == 422 and "scopes" in refused.json()["errors"][0]["loc"], refused.text
    routing = http.post(path, json={"label": "router", "scopes": ["routing"]}).json()
    both = http.post(path, json={"label": "both", "scopes": ["routing", "platform"]}).json()
    assert routing["scopes"] == ["routing"] and both["scopes"] == ["platform", "routing"]
    assert {k["label"]: k["scopes"] for k in http.get(path).json()["api_keys"]}["router"] == ["routing"]
    for method, url in (("GET", "/v1/agents"), ("POST", path), ("POST", ORGS), ("GET", ORGS), ("POST", "/v1/session-batches")):
        refused = passel.http(routing["api_key"]).request(method, url, json={"label": "more", "name": "more"})
        assert refused.status_code == 403 and "platform" in refused.json()["detail"]
    assert passel.http(both["api_key"]).get("/v1/agents").status_code == 200


def test_foreign_things_can_be_hidden() -> None:
    with scratch_dir() as directory:
        passel = Installation(directory, 0, {"PASSEL_HIDE_FOREIGN": "1"}).start()
        root = passel.http().get(ORGS).json()["organizations"][0]["id"]
        _, key = make(passel.http(), "Child")
        for path in ("api-keys", "credentials"):
            answer = passel.http(key).get(f"{ORGS}/{root}/{path}")
            assert answer.status_code == 404 and answer.json() == passel.http(key).get(f"{ORGS}/org_none/{path}").json()
        assert passel.stop() == 0


def test_without_a_login_the_vendors_client_is_told_so(passel: Installation) -> None:
    answer = httpx2.get(f"{passel.url}/v1/auth/config")
    assert answer.status_code == 404 and "passel keys create" in answer.json()["detail"]
    assert passel.http().post("/v1/me/bootstrap", json={}).status_code == 501


@pytest.mark.parametrize("path", ["files", "workspace.zip"])
def test_what_is_not_served_says_so(passel: Installation, path: str) -> None:
    answer = passel.http().get(f"/v1/sessions/any/{path}")
    assert answer.status_code == 501 and "does not serve" in answer.json()["detail"]
