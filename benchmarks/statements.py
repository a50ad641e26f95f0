"""What a turn costs the database: the rows that it writes, by table, and the statements that are sent, by group.

    python -m benchmarks.statements [--sessions 10000]

Rows are PostgreSQL's own counts (pg_stat_user_tables). Statements are counted by pg_stat_statements, which the wheel's
server lacks: name one that has it with PASSEL_PGBIN (Debian: /usr/lib/postgresql/15/bin). A turn is a one-message item
from its admission to its end, without its creation. The baseline is the version before the core was made general
(1d8bf11), measured in the same way on 2026-11-24.
"""

import argparse
import asyncio
import os
from typing import Any

import asyncpg

from benchmarks.report import print_report
from benchmarks.turns import passel_turns
from tests.support.installation import Installation, played_model, scratch_dir

_ROWS = "select relname as name, n_tup_ins + n_tup_upd + n_tup_del as rows from pg_stat_user_tables"
_STATEMENTS = "select sum(calls)::int as calls, sum(total_exec_time) as ms from pg_stat_statements where query not ilike 'copy %'"


def fetch(url: str, sql: str) -> list[Any]:
    async def go() -> list[Any]:
        connection = await asyncpg.connect(url)
        try:
            return await connection.fetch(sql)
        finally:
            await connection.close()

    return asyncio.run(go())


def rows_by_table(url: str) -> dict[str, int]:
    return {row["name"]: row["rows"] for row in fetch(url, _ROWS)}


def start(directory: Any, *, counting: bool) -> Installation:
    settings = {"PASSEL_CONCURRENCY": "1000", "PASSEL_LANE_CONCURRENCY": "500"}
    if counting:
        settings["PASSEL_PGBIN"] = os.environ["PASSEL_PGBIN"]
    passel = Installation(directory, 1, settings).start()
    if counting:
        fetch(passel.database_url(), "alter system set shared_preload_libraries = 'pg_stat_statements'")
        passel.stop()
        passel.start()
        fetch(passel.database_url(), "create extension if not exists pg_stat_statements")
    return passel


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--sessions", type=int, default=10_000)
    args = parser.parse_args()
    counting = "PASSEL_PGBIN" in os.environ
    with scratch_dir() as directory, played_model() as model:
        passel = start(directory, counting=counting)
        agent = passel.deploy(model.url, ["echo"])
        passel_turns(passel, agent, 500, "warm-up")
        passel.stop()
        passel.start()  # what a process has counted is told when it ends
        url = passel.database_url()
        before = rows_by_table(url)
        if counting:
            fetch(url, "select pg_stat_statements_reset()")
        rate, _ = passel_turns(passel, agent, args.sessions, "counted")
        statements = fetch(url, _STATEMENTS)[0] if counting else None
        passel.stop()
        passel.start()
        written = {name: (n - before.get(name, 0)) / args.sessions for name, n in rows_by_table(url).items()}
        passel.stop()
    made = {"session": 1.0, "message": 1.0, "event": 2.0, "item": 1.0}  # by the creation
    turn = {name: n - made.get(name, 0.0) for name, n in written.items()}
    rows = [(name, f"{n:.2f}") for name, n in sorted(turn.items(), key=lambda entry: -entry[1]) if n > 0.005]
    rows.append(("all tables", f"{sum(turn.values()):.2f}"))
    if statements:
        rows.append(("statements sent", f"{statements['calls'] / args.sessions:.3f}"))
        rows.append(("their time in the server, us", f"{statements['ms'] * 1000 / args.sessions:.0f}"))
    figures = {
        "rows_a_turn": sum(turn.values()),
        "turns_per_second": rate,
        "statements_a_turn": statements and statements["calls"] / args.sessions,
    }
    print_report("statements", rows, ["a turn writes", "rows"], {**figures, **vars(args)})


if __name__ == "__main__":
    main()
