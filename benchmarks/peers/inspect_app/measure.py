"""The task as an Inspect AI evaluation, in Inspect's own environment; prints one JSON line.

A sample is one session: a system message, one `generate`, no scorer, no sandbox. Measured is the call of `eval`, as a
user waits for it: it makes the log, runs the samples and closes the log. Not measured: the start of the interpreter,
the imports, a small evaluation to warm up, and the look at the answers.
"""

import argparse
import json
import tempfile
import time

from inspect_ai import Task, eval
from inspect_ai.dataset import Sample
from inspect_ai.log import EvalLog
from inspect_ai.solver import generate, system_message

WARM_UP = 20


def evaluate(url: str, sessions: int, concurrency: int, tag: str, log_dir: str) -> EvalLog:
    samples = [Sample(input=f"{tag} {n}", id=n + 1) for n in range(sessions)]
    [log] = eval(
        Task(dataset=samples, solver=[system_message("You are a test."), generate()]),
        model="openai-api/played/echo",
        model_base_url=url,
        model_args={"api_key": "none"},
        max_connections=concurrency,
        max_samples=concurrency,
        max_retries=0,
        log_dir=log_dir,
        log_realtime=False,
        ctl_server=False,
        display="none",
    )
    return log


def check(log: EvalLog, sessions: int) -> None:
    answers = {sample.input: sample.output.completion for sample in log.samples or []}
    wrong = [f"{text!r}: {answer!r}" for text, answer in answers.items() if answer != f"echo: {text}"]
    if log.status != "success" or len(answers) != sessions or wrong:
        raise SystemExit(f"evaluation ended as {log.status}, {len(answers)} answers, wrong: {wrong[:3]}, {log.error}")


def main(url: str, sessions: int, concurrency: int, tag: str) -> None:
    with tempfile.TemporaryDirectory() as log_dir:
        check(evaluate(url, WARM_UP, concurrency, f"{tag} warm-up", log_dir), WARM_UP)
        started = time.perf_counter()
        log = evaluate(url, sessions, concurrency, tag, log_dir)
        seconds = time.perf_counter() - started
        check(log, sessions)  # while the log's file is there: samples are read from it when asked for
    print(json.dumps({"seconds": seconds}))


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--url", required=True)
    parser.add_argument("--sessions", type=int, required=True)
    parser.add_argument("--concurrency", type=int, required=True)
    parser.add_argument("--tag", required=True)
    main(**vars(parser.parse_args()))
