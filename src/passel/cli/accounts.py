"""`passel keys` (on the server's machine) and `passel credentials` (through the API)."""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from passel.cli.client import DEFAULT_URL, Client, Key, Url
from passel.cli.output import CommandError, print_json, print_table
from passel.cli.server import DataDir, load_settings

keys = typer.Typer(no_args_is_help=True, help="API keys. Works on the database, so it needs no key: create, list, revoke.")
credentials = typer.Typer(no_args_is_help=True, help="Provider keys that manifests name: set, list, remove.")

Org = Annotated[str | None, typer.Option(help="Organisation id or slug. Default: the only one.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def register(app: typer.Typer) -> None:
    app.add_typer(keys, name="keys")
    app.add_typer(credentials, name="credentials")


def _with_deps(data_dir: Path | None, use: Callable[[Any], Awaitable[Any]]) -> Any:
    import asyncpg

    from passel.compose.process import open_deps
    from passel.compose.serve import NoDatabase, reaching_database

    settings = load_settings(data_dir=data_dir)
    if not settings.database_url and not (settings.data_dir / "postgres").is_dir():
        raise CommandError(
            f"no server has its data in {settings.data_dir}: start one with `passel serve`, or name its data directory with --data-dir"
        )

    async def go() -> Any:
        with reaching_database(settings):
            if settings.database_url:  # opening makes the data directory, which is for those who have a database
                await (await asyncpg.connect(settings.database_url)).close()
            deps = await open_deps(settings, name="passel keys", connections=2)
            try:
                return await use(deps)
            finally:
                await deps.db.close()

    try:
        return asyncio.run(go())
    except NoDatabase as error:
        raise CommandError(f"{error}. Is `passel serve` running with the same data directory or DATABASE_URL?") from error


@keys.command("create")
def create(
    label: Annotated[str, typer.Argument(help="What the key is for.")],
    org: Org = None,
    new_org: Annotated[str | None, typer.Option(help="Make a new organisation of this name first.")] = None,
    json_output: Json = False,
    data_dir: DataDir = None,
) -> None:
    """Make an API key and show it, this once."""
    from passel.services import accounts

    async def use(deps: Any) -> Any:
        owner = await accounts.create_organisation(deps, new_org) if new_org else await accounts.find_organisation(deps, org)
        return await accounts.create_key(deps, owner.id, label)

    new = _with_deps(data_dir, use)
    if json_output:
        print_json({"id": new.key.id, "organization_id": new.key.org_id, "label": new.key.label, "api_key": new.secret})
    else:
        print(f"API key, shown only now:  {new.secret}")


@keys.command("list")
def list_keys(org: Org = None, json_output: Json = False, data_dir: DataDir = None) -> None:
    """List keys by their first characters."""
    from passel.services import accounts

    async def use(deps: Any) -> Any:
        return await accounts.list_keys(deps, (await accounts.find_organisation(deps, org)).id)

    found = _with_deps(data_dir, use)
    if json_output:
        print_json([{"id": k.id, "label": k.label, "prefix": k.prefix, "revoked": k.revoked_at is not None} for k in found])
    else:
        rows = [[k.id, k.label, f"{k.prefix}…", k.created_at, k.last_used_at, k.revoked_at] for k in found]
        print_table(["id", "label", "key", "created", "last used", "revoked"], rows)


@keys.command("revoke")
def revoke(key_id: Annotated[str, typer.Argument(help="A key's id.")], org: Org = None, data_dir: DataDir = None) -> None:
    """Stop a key from working, within five seconds everywhere."""
    from passel.services import accounts

    async def use(deps: Any) -> Any:
        return await accounts.revoke_key(deps, (await accounts.find_organisation(deps, org)).id, key_id)

    print(f"revoked {_with_deps(data_dir, use).id}")


@credentials.command("set")
def set_credential(
    name: Annotated[str, typer.Argument(help="The name that manifests use, such as ANTHROPIC_API_KEY.")],
    value: Annotated[
        str | None, typer.Argument(help="The value. Default: read from stdin, which keeps it out of the shell's history.")
    ] = None,
    url: Url = DEFAULT_URL,
    key: Key = "",
) -> None:
    """Store a secret of the organisation. It is never shown again."""
    if value is None:
        value = typer.prompt("value", hide_input=True) if sys.stdin.isatty() else sys.stdin.read().strip()
    stored = Client(url, key).put(f"/v1/organizations/current/credentials/{name}", {"value": value})
    print(f"{'stored' if stored['created'] else 'replaced'} {name}")


@credentials.command("list")
def list_credentials(json_output: Json = False, url: Url = DEFAULT_URL, key: Key = "") -> None:
    """List the names of stored secrets."""
    found = Client(url, key).get("/v1/organizations/current/credentials")["credentials"]
    if json_output:
        print_json(found)
    else:
        print_table(["name", "created", "updated"], [[c["name"], c["created_at"], c["updated_at"]] for c in found])


@credentials.command("remove")
def remove_credential(name: Annotated[str, typer.Argument(help="Its name.")], url: Url = DEFAULT_URL, key: Key = "") -> None:
    """Remove a stored secret. Sessions that need it will fail with a clear error."""
    Client(url, key).delete(f"/v1/organizations/current/credentials/{name}")
    print(f"removed {name}")
