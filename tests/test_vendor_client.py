"""The vendor's own client from PyPI, dari-cli 0.2.1, pointed at us by its base URL and nothing else."""

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.support.installation import KEY, Installation, PlayedModel, write_agent

DARI = Path(__file__).parent.parent / ".venv-dari" / "bin" / "dari"

pytestmark = pytest.mark.skipif(not DARI.exists(), reason="dari-cli is not installed: `make test` sets it up in .venv-dari")


class Dari:
    def __init__(self, passel: Installation, home: Path) -> None:
        self.passel = passel
        self.environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "DARI_CONFIG_DIR": str(home / "config"),
            "DARI_API_URL": passel.url,
            "DARI_API_KEY": KEY,
        }

    def __call__(self, *arguments: str, key: str | None = None) -> subprocess.CompletedProcess[str]:
        environment = {**self.environment, **({"DARI_API_KEY": key} if key else {})}
        return subprocess.run([str(DARI), *arguments], env=environment, capture_output=True, text=True, timeout=60)


@pytest.fixture
def dari(passel: Installation, tmp_path: Path) -> Dari:
    return Dari(passel, tmp_path)


def test_deploy_redeploy_and_find_by_name(dari: Dari, model: PlayedModel, tmp_path: Path) -> None:
    project = tmp_path / "project"
    write_agent(project, "vendor-agent", {"echo": {"provider": "openai", "model": "echo", "base_url": f"{model.url}/v1"}})

    def deploy() -> Any:
        done = dari("deploy", str(project))
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout[done.stdout.index("{") :])

    first = deploy()
    second = deploy()
    assert second["agent_id"] == first["agent_id"] and second["version_id"] != first["version_id"]
    shutil.rmtree(project / ".dari")
    third = deploy()
    assert third["agent_id"] == first["agent_id"]
    versions = dari.passel.client.get(f"/v1/agents/{first['agent_id']}/versions")
    assert [v["number"] for v in versions["versions"]] == [1, 2, 3] and versions["versions"][2]["is_active"]


def test_a_broken_manifest_is_refused_and_its_snapshot_removed(dari: Dari, tmp_path: Path) -> None:
    project = tmp_path / "scaffold"
    assert dari("init", str(project)).returncode == 0  # what the vendor's own scaffold writes asks for a sandbox
    done = dari("deploy", str(project))
    assert done.returncode == 1 and "400" in done.stderr and "sandbox" in done.stderr and "built_in_tools: []" in done.stderr


def test_a_wrong_key_is_401(dari: Dari, model: PlayedModel, tmp_path: Path) -> None:
    write_agent(tmp_path / "p", "nobody", {"echo": {"provider": "openai", "model": "echo", "base_url": f"{model.url}/v1"}})
    done = dari("deploy", str(tmp_path / "p"), key="dari_wrong")
    assert done.returncode == 1 and "401" in done.stderr and "Missing or invalid API key" in done.stderr


def log_in(dari: Dari, home: Path) -> Any:
    """The client's state as if its user had logged in: our key is the token, so it asks nobody else for one."""
    org = dari.passel.client.get("/v1/organizations")["organizations"][0]
    session = {
        "access_token": KEY, "refresh_token": "unused", "expires_at": 4102444800, "user_id": "u", "email": "u@example.test", "display_name": None,
    }  # fmt: skip
    state = {
        "schema_version": 1,
        "api_url": dari.passel.url,
        "current_org_id": org["id"],
        "organizations": {org["id"]: {**{k: org[k] for k in ("id", "name", "slug", "role")}, "api_key": KEY}},
        "supabase_session": session,
    }
    (home / "config").mkdir()
    (home / "config" / "state.json").write_text(json.dumps(state))
    return org


def test_keys_and_credentials_through_its_management_commands(dari: Dari, tmp_path: Path) -> None:
    org = log_in(dari, tmp_path)
    assert org["slug"] in dari("org", "list").stdout
    added = dari("credentials", "add", "VENDOR_KEY", "value")
    assert added.returncode == 0, added.stderr
    assert "VENDOR_KEY" in dari("credentials", "list").stdout
    assert dari("credentials", "remove", "VENDOR_KEY").returncode == 0
    made = dari("api-keys", "create", "--name", "from the vendor's client")
    assert made.returncode == 0 and "dari_" in made.stdout, made.stderr


def test_organisations_are_made_and_switched_between(dari: Dari, model: PlayedModel, tmp_path: Path) -> None:
    org = log_in(dari, tmp_path)

    def run(*arguments: str) -> Any:
        done = dari(*arguments)
        assert done.returncode == 0, (arguments, done.stderr)
        return json.loads((tmp_path / "config" / "state.json").read_text())

    state = run("org", "create", "Vendor's second")
    second = state["organizations"][state["current_org_id"]]
    assert second["name"] == "Vendor's second" and second["id"] != org["id"] and second["api_key"].startswith("dari_")
    assert second["slug"] in dari("org", "list").stdout
    run("credentials", "add", "SECOND", "value")
    assert dari.passel.http(second["api_key"]).get("/v1/organizations/current/credentials").json()["credentials"][0]["name"] == "SECOND"

    # what is deployed with the cached key is the second organisation's
    del dari.environment["DARI_API_KEY"]
    write_agent(tmp_path / "p", "second's", {"echo": {"provider": "openai", "model": "echo", "base_url": f"{model.url}/v1"}})
    run("deploy", str(tmp_path / "p"))
    assert len(dari.passel.http(second["api_key"]).get("/v1/agents").json()["agents"]) == 1

    first = run("org", "switch", org["slug"])["organizations"][org["id"]]["api_key"]
    assert first != KEY and dari.passel.http(first).get("/v1/agents").status_code == 200
    again = run("org", "switch", second["id"])["organizations"][second["id"]]["api_key"]
    assert again != second["api_key"] and dari.passel.http(second["api_key"]).get("/v1/agents").status_code == 401
    unknown = dari("org", "switch", "nobody's")
    assert unknown.returncode == 1 and "Unknown organization" in unknown.stderr


def test_its_login_says_how_to_get_a_key(dari: Dari) -> None:
    done = dari("auth", "login")
    assert done.returncode == 1 and "passel keys create" in done.stderr
