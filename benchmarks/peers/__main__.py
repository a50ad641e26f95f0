"""The same one-turn task with the same instant model on Passel, on LangGraph's dev server and on Inspect AI.

    python -m benchmarks.peers [--sessions 400] [--rounds 3] [--concurrency 200]

The task: system prompt "You are a test.", one user text, one answer, which is looked at. The model is the played one
of `tests/support`, over OpenAI's HTTP API on loopback. Each peer is installed once, in an environment of its own under
`.venv-peers/`, at the versions in its `requirements.txt`; after that no network is needed. The rounds are interleaved,
so that all of them see the same machine. The baseline is an asyncio loop that makes the same calls and keeps nothing.

What the figures do not say: none of these systems is built for an instant model, and with a real one they all wait.
They say what a turn costs the machine beside its model call. The driving client and the model run on the same cores.
A run this short is noisy: compare the ranges, and only the figures of one run with each other.

Exit code 1: a peer could not be installed, or did not run; its row says why.
"""

import argparse
import statistics
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from types import ModuleType

import uvloop

from benchmarks.baseline import bare_loop
from benchmarks.peers import inspect_ai, langgraph, passel
from benchmarks.peers.environment import PeerError, versions
from benchmarks.report import print_report
from tests.support.installation import played_model

# The loop is done with a round of the others' size before it can be timed.
LOOP_CALLS_A_SESSION = 10


@dataclass
class Contestant:
    what: str
    durable: str
    notes: str
    turns: Callable[[str], float]  # the round's tag in, turns a second out
    prepare: Callable[[], object] = lambda: None
    figures: list[float] = field(default_factory=list)
    failure: str | None = None

    def attempt(self, step: Callable[[], object]) -> None:
        """A step of a peer, which may fail; then the peer is out, and the others go on."""
        if self.failure is None:
            try:
                step()
            except PeerError as error:
                self.failure = str(error)
                print(f"{self.what}: {error}", file=sys.stderr)

    def run_round(self, tag: str) -> None:
        self.attempt(lambda: self.figures.append(self.turns(tag)))

    def median(self) -> float | None:
        return statistics.median(self.figures) if self.figures else None

    def row(self) -> tuple[str, str, str, str, str]:
        notes = f"did not run: {self.failure}" if self.failure else self.notes
        if not self.figures:
            return self.what, "-", "-", self.durable, notes
        return self.what, f"{self.median():,.0f}", f"{min(self.figures):,.0f} - {max(self.figures):,.0f}", self.durable, notes


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--sessions", type=int, default=400)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--concurrency",
        type=int,
        default=200,
        help="turns in flight of Passel and the loop; a peer has what serves it best, see its module",
    )
    return parser.parse_args()


def contestants(args: argparse.Namespace, model_url: str, ours: passel.Passel) -> list[Contestant]:
    sessions, concurrency = args.sessions, args.concurrency

    def loop(tag: str) -> float:
        return uvloop.run(bare_loop(model_url, "echo", sessions * LOOP_CALLS_A_SESSION, concurrency, direct=True))

    return [
        Contestant(passel.WHAT, passel.DURABLE, passel.NOTES, lambda tag: ours.turns(sessions, tag)),
        peer(langgraph, lambda tag: langgraph.turns(model_url, sessions, tag)),
        peer(inspect_ai, lambda tag: inspect_ai.turns(model_url, sessions, tag)),
        Contestant("bare loop", "no", "Passel's model client, keeps nothing", loop),
    ]


def peer(module: ModuleType, turns: Callable[[str], float]) -> Contestant:
    return Contestant(module.WHAT, module.DURABLE, module.NOTES, turns, module.prepare)


def compare(args: argparse.Namespace) -> list[Contestant]:
    with played_model() as model, passel.running(model.url, args.concurrency) as ours:
        found = contestants(args, model.url, ours)
        for contestant in found:
            contestant.attempt(contestant.prepare)
        for n in range(args.rounds):
            for contestant in found:
                contestant.run_round(f"round {n}")
    return found


def report(args: argparse.Namespace, found: list[Contestant]) -> None:
    print_report(
        "peers",
        [contestant.row() for contestant in found],
        ["what", "turns/s (median)", "range", "durable?", "notes"],
        {
            "turns_per_second": {contestant.what: contestant.median() for contestant in found},
            "did_not_run": {contestant.what: contestant.failure for contestant in found if contestant.failure},
            "versions": versions(langgraph.REQUIREMENTS) | versions(inspect_ai.REQUIREMENTS),
            "langgraph_jobs": langgraph.JOBS,
            "langgraph_clients": langgraph.CLIENTS,
            "inspect_samples_at_once": inspect_ai.AT_ONCE,
            **vars(args),
        },
    )


def main() -> int:
    args = arguments()
    found = compare(args)
    report(args, found)
    return 1 if any(contestant.failure for contestant in found) else 0


if __name__ == "__main__":
    sys.exit(main())
