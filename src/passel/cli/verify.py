"""`passel verify`: a claim, a file of claims, and how good the methods are."""

from typing import Any

import typer
from typer.core import TyperGroup

from passel.cli import verify_bench, verify_calibrate, verify_claims, verify_demo

_DEFAULT = "claims"


class _OrClaims(TyperGroup):
    """What is no command is a claim, or a file of claims."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and args[0] not in self.commands and args[0] not in ("--help", "--install-completion", "--show-completion"):
            args = [_DEFAULT, *args]
        return super().parse_args(ctx, args)


group = typer.Typer(
    cls=_OrClaims,
    no_args_is_help=True,
    help='Verify a claim (passel verify "7 * 8 = 56") or a file of claims (passel verify claims.csv), and measure the methods.',
)
group.command(_DEFAULT)(verify_claims.claims)
group.command("bench")(verify_bench.bench)
group.command("calibrate")(verify_calibrate.calibrate)
group.command("demo")(verify_demo.demo)


def register(app: typer.Typer) -> None:
    app.add_typer(group, name="verify")


@group.callback()
def verify() -> None: ...
