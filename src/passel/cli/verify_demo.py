"""`passel verify demo`: a file of claims, three methods, no network."""

from pathlib import Path
from typing import Annotated

import typer

from passel.cli.client import Client
from passel.cli.demo import LOG, demo_key, example, require_models, started_server
from passel.cli.output import note
from passel.cli.verify_claims import request, show, submit, watch

_METHODS = ["formal", "semantic", "reasoning=0.25"]
_LOCAL = "local:smollm2"


def demo(
    model: Annotated[
        str, typer.Option(help="The model that `reasoning` asks; the key of a hosted one comes from the environment.")
    ] = _LOCAL,
    data_dir: Annotated[Path, typer.Option(help="Where the demo keeps its data.")] = Path("passel-demo-verify"),
) -> None:
    """Start a server, load six facts, verify a file of 24 claims with `formal`, `semantic` and a model, print what came of it. The
    local model is small and knows nothing: it shows that everything runs, and why methods have weights."""
    data_dir = data_dir.resolve()
    require_models([model], data_dir)
    claims = example("claims")
    with started_server(data_dir, PASSEL_VERIFICATION_MODEL=model) as (_, started):
        client = Client(started["url"], demo_key(data_dir, started))
        note(f"server: {started['url']}  data: {data_dir}  log: {data_dir / LOG}")
        loaded = client.post_csv("/v1/facts", "facts.csv", (claims / "facts.csv").read_bytes())
        note(f"{loaded['total']} facts loaded")
        batch = watch(client, submit(client, claims / "claims.csv", request(_METHODS, None) | {"options": {"timeout": 120_000}}))
        show(client, batch, None, False)
    raise typer.Exit(0 if batch["status"] == "completed" and not batch["failureCount"] else 1)
