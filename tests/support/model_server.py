"""A real HTTP server that plays an OpenAI-compatible model (and, at /v1/messages, Anthropic's), for tests and benchmarks.

The model's name says how it behaves; several rules may be joined with `+`:

    echo            answers "echo: <last user text>" at once
    wait-0.5        answers after 0.5 s
    status-500      answers with that status, always
    flaky-2-503     answers the first two calls of a prompt with 503, then as `echo`
    limit-20        answers 429 with Retry-After while more than 20 calls are in flight
    garbage, empty, close, cut, hang, nul     bodies that are no answers, or none at all
    odd             answers, and tells nonsense of what it used
    script          plays what the user's text says as JSON: a list of answers, one for each time it is asked in a turn. An
                    answer is a text, or {"text": ..., "calls": [{"name": ..., "arguments": ..., "id": ...}]}; "{results}"
                    in a text becomes the JSON list of the tool results since the user spoke
    task            plays a web task as `script` does: the script stands behind `script:` in the task. An element is named by what is
                    written on it ("@Search"), or by its number; "{seen}" in a text becomes all that was told so far
    verifier        answers what verifications ask, in the form asked for: what it is to think of a text stands in it (`_verified`)
    count           answers with the number of messages that it was sent, and what kinds of parts they held

`GET /calls` tells how often each prompt (the last user text) was asked, and the most calls in flight at once.
A protocol on the bare loop, so that it takes little from the two cores that a benchmark has.
"""

import argparse
import asyncio
import collections
import json
import os
import random
import re

import orjson
import uvloop

_USAGE = {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18}


class State:
    def __init__(self) -> None:
        self.calls: collections.Counter[str] = collections.Counter()
        self.in_flight = 0
        self.peak = 0
        self.refused = 0
        self.keys: set[str] = set()


class ModelProtocol(asyncio.Protocol):
    def __init__(self, state: State) -> None:
        self._state, self._buffer = state, b""
        self._task: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        if self._task:
            self._task.cancel()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            head = self._buffer[:end]
            length = _content_length(head)
            if len(self._buffer) < end + 4 + length:
                return
            body = self._buffer[end + 4 : end + 4 + length]
            self._buffer = self._buffer[end + 4 + length :]
            self._handle(head, body)

    def _handle(self, head: bytes, body: bytes) -> None:
        if head.startswith(b"GET /calls"):
            state = self._state
            told = {
                "calls": state.calls,
                "peak": state.peak,
                "in_flight": state.in_flight,
                "refused": state.refused,
                "keys": sorted(state.keys),
            }
            self._answer(200, told)
            return
        request = orjson.loads(body)
        self._anthropic = b"/v1/messages" in head.split(b"\r\n", 1)[0]
        prompt = _last_text(request["messages"])
        self._state.calls[prompt] += 1
        for line in head.split(b"\r\n"):
            name, _, value = line.partition(b": ")
            if name.lower() in (b"authorization", b"x-api-key"):
                self._state.keys.add(value.decode().removeprefix("Bearer "))
        rules = request["model"].split("+")
        if rules == ["echo"]:
            self._complete(request["model"], "echo: " + prompt)
        else:
            self._task = asyncio.get_running_loop().create_task(self._play(rules, request, prompt))

    async def _play(self, rules: list[str], request: dict, prompt: str) -> None:
        state = self._state
        state.in_flight += 1
        state.peak = max(state.peak, state.in_flight)
        try:
            await self._follow(rules, request, prompt)
        finally:
            state.in_flight -= 1

    async def _follow(self, rules: list[str], request: dict, prompt: str) -> None:
        text = "echo: " + prompt
        for rule in rules:
            name, *args = rule.split("-")
            if name == "wait":
                await asyncio.sleep(float(args[0]))
            elif name == "status":
                return self._answer(int(args[0]), {"error": {"message": f"upstream says {args[0]}", "type": "played"}})
            elif name == "flaky" and self._state.calls[prompt] <= int(args[0]):
                return self._answer(int(args[1]), {"error": {"message": "try again"}}, "Retry-After: 0.1\r\n")
            elif name == "limit" and self._state.in_flight > int(args[0]):
                self._state.refused += 1
                return self._answer(429, {"error": {"message": "slow down"}}, "Retry-After: 0.2\r\n")
            elif name == "garbage":
                return self._raw(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n<oh no/>\n")
            elif name == "empty":
                return self._raw(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 0\r\n\r\n")
            elif name == "close":
                return self._transport.close()
            elif name == "cut":
                self._raw(b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 900\r\n\r\n{"id": "x", "choices"')
                return self._transport.close()
            elif name == "hang":
                await asyncio.sleep(3600)
            elif name == "script":
                said, calls = _scripted(request["messages"])
                body = _anthropic_message if self._anthropic else _completion
                return self._answer(200, body(request["model"], said, calls))
            elif name == "task":
                return self._answer(200, _completion(request["model"], *_task(request["messages"])))
            elif name == "odd":
                told = _completion(request["model"], text) | {"usage": ["lots"]}
                return self._answer(200, told)
            elif name == "nul":
                text = "before\x00after \ud83d"
            elif name == "verifier":
                text = _verified(request["messages"])
            elif name == "count":
                kinds = [p["type"] for m in request["messages"] if isinstance(m["content"], list) for p in m["content"]]
                text = json.dumps({"messages": len(request["messages"]), "kinds": kinds, "roles": [m["role"] for m in request["messages"]]})
        return self._complete(request["model"], text)

    def _complete(self, model: str, text: str) -> None:
        self._answer(200, (_anthropic_message if self._anthropic else _completion)(model, text))

    def _answer(self, status: int, body: object, headers: str = "") -> None:
        try:
            data = orjson.dumps(body)
        except TypeError:
            data = json.dumps(body).encode()
        head = f"HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {len(data)}\r\n{headers}\r\n"
        self._raw(head.encode() + data)

    def _raw(self, data: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(data)


def _verified(messages: list) -> str:
    """A text with `not so` is false and one with `unsure` uncertain, else it is true; `sure 0.7` is how sure. With `split` the
    doubter among judges is of the other opinion, with `vary` answers differ. With `nonsense` nothing can be read, with `at first
    nonsense` only the first answer."""
    system, text = messages[0]["content"], messages[1]["content"]
    if ("at first nonsense" in text and len(messages) < 4) or ("nonsense" in text and "at first" not in text):
        return "I would rather talk about the weather {today}."
    form = system.rsplit("in this form:\n", 1)[-1]
    sure = re.search(r"sure (0\.\d+)", text)
    wrong = "not so" in text
    if "split" in text and "You doubt" in system:
        wrong = not wrong
    verdict = "uncertain" if "unsure" in text else "false" if wrong else "true"
    confidence = float(sure[1]) if sure else 0.97
    body = text.split("]\n", 1)[1].rsplit("\n[/", 1)[0]
    lines = body.splitlines()
    if '"cannot"' in form:
        return _translated(body, system)
    if '"stances"' in form:
        return _stances(text)
    if '"claims"' in form:
        answer = {"claims": [part.strip() for part in re.split(r"(?<=\.)\s+", body) if part.strip()]}
    elif '"scores"' in form:
        answer = {"scores": [0.1 if "not so" in line else 0.95 for line in lines]}
    elif '"questions"' in form:
        answer = {
            "questions": [{"question": f"What of {body}?", "answer": "blue"}, {"question": f"And then, of {body}?", "answer": "blue"}]
        }
    elif '"groups"' in form:
        answer = {"groups": [[n] for n in range(1, len(text.rsplit("[answers ", 1)[1].splitlines()) - 1)]}
    elif '{"answer"' in form:
        answer = {"answer": "green" if wrong else random.choice(["red", "blue", "green"]) if "vary" in text else "Blue."}
    elif '"reason"' in form:
        answer = {"reason": "I was told so.", "verdict": verdict, "confidence": confidence}
    else:
        answer = {"steps": ["I was told so."], "verdict": verdict, "confidence": confidence}
    return "Here it is: " + json.dumps(answer)


def _stances(text: str) -> str:
    """Of each passage: one with `speaks for it` supports, with `speaks against it` refutes, and is quoted but for one with `misquoted`."""
    told = []
    for n, passage in re.findall(r"\[passage (\d+) [0-9a-f]+\]\n(.*?)\n\[/passage", text, re.DOTALL):
        stance = "supports" if "speaks for it" in passage else "refutes" if "speaks against it" in passage else "neutral"
        told.append({"passage": int(n), "stance": stance, "quote": "what nobody said" if "misquoted" in passage else passage[:40]})
    return json.dumps({"stances": told})


def _translated(body: str, system: str) -> str:
    """`... has A and gives away B ..., C are left` as A - B = C, with the second translator's own way of saying it; the rest cannot
    be said. With `mistaken` the second translator takes it for a sum."""
    numbers = re.findall(r"\d+", body)
    if "gives away" not in body or len(numbers) != 3:
        return json.dumps({"cannot": "it is about something else"})
    had, gave, left = ({"var": f"n{n}"} for n in (1, 2, 3))
    second = "second translator" in system
    claim = {"cmp": "=", "left": {"op": "-", "left": had, "right": gave}, "right": left}
    if second:
        sign = "-" if "mistaken" in body else "+"
        claim = {"cmp": "=", "left": {"op": sign, "left": left, "right": gave}, "right": had}
    instances = [
        {"values": {"n1": "9", "n2": "4", "n3": "5"}, "right": True},
        {"values": {"n1": "9", "n2": "4", "n3": "6"}, "right": False},
        {"values": {"n1": "1", "n2": "1", "n3": "0"}, "right": True},
    ]
    values = {f"n{n}": number for n, number in enumerate(numbers, 1)}
    return json.dumps({"values": values, "premises": [], "claim": claim, "instances": instances})


def _content_length(head: bytes) -> int:
    lowered = head.lower()
    at = lowered.find(b"content-length:")
    return int(lowered[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0


def _last_text(messages: list[dict]) -> str:
    content = messages[-1]["content"] or ""
    if isinstance(content, str):
        return content
    return " ".join(part.get("text", "") for part in content)


def _scripted(messages: list[dict]) -> tuple[str, list[dict]]:
    """Text and calls of the next answer of the script that the last user's text is."""
    turn = max(n for n, m in enumerate(messages) if m["role"] == "user" and not _tool_results(m))
    steps = orjson.loads(_last_text([messages[turn]]))
    since = messages[turn + 1 :]
    step = steps[min(sum(m["role"] == "assistant" for m in since), len(steps) - 1)]
    if isinstance(step, str):
        step = {"text": step}
    results = [told for m in since for told in ([m["content"]] if m["role"] == "tool" else _tool_results(m))]
    text = step.get("text", "").replace("{results}", orjson.dumps(results).decode())
    return text, step.get("calls", [])


def _task(messages: list[dict]) -> tuple[str, list[dict]]:
    """Text and calls of the next answer of the script in a web task."""
    told = messages[1]["content"]
    steps, _ = json.JSONDecoder().raw_decode(told, told.index("script:") + 7)
    step = steps[min(sum(m["role"] == "assistant" for m in messages), len(steps) - 1)]
    if isinstance(step, str):
        return step, []
    seen, last = json.dumps([m["content"] for m in messages]), messages[-1]["content"]
    calls = []
    for call in step if isinstance(step, list) else [step]:
        (name, arguments), *_ = call.items()
        if isinstance(arguments, dict):
            arguments = {field: _filled(value, seen, last) for field, value in arguments.items()}
        calls.append({"name": name, "arguments": arguments})
    return "", calls


def _filled(value: object, seen: str, last: str) -> object:
    if isinstance(value, str) and value.startswith("@"):
        found = re.search(rf"\[(\d+)\] \w+ \"{re.escape(value[1:])}", last)
        return int(found[1]) if found else 9999
    return value.replace("{seen}", seen) if isinstance(value, str) else value


def _tool_results(message: dict) -> list[str]:
    """Of a message in Anthropic's form."""
    if isinstance(message["content"], str) or message["role"] != "user":
        return []
    found = [part for part in message["content"] if part.get("type") == "tool_result"]
    return [p["content"] if isinstance(p["content"], str) else "".join(c["text"] for c in p["content"]) for p in found]


def _openai_call(n: int, call: dict) -> dict:
    arguments = call.get("arguments", {})
    written = arguments if isinstance(arguments, str) else orjson.dumps(arguments).decode()
    return {"id": call.get("id", f"call_{n}"), "type": "function", "function": {"name": call["name"], "arguments": written}}


def _completion(model: str, text: str, calls: list[dict] | tuple[()] = ()) -> dict:
    message = {"role": "assistant", "content": text}
    if calls:
        message["tool_calls"] = [_openai_call(n, call) for n, call in enumerate(calls)]
    choice = {"index": 0, "message": message, "finish_reason": "tool_calls" if calls else "stop"}
    return {"id": "chatcmpl-1", "object": "chat.completion", "created": 1_700_000_000, "model": model, "choices": [choice], "usage": _USAGE}


def _anthropic_message(model: str, text: str, calls: list[dict] | tuple[()] = ()) -> dict:
    usage = {"input_tokens": 11, "output_tokens": 7}
    content: list[dict] = [{"type": "text", "text": text}] if text else []
    content += [
        {"type": "tool_use", "id": call.get("id", f"toolu_{n}"), "name": call["name"], "input": call.get("arguments", {})}
        for n, call in enumerate(calls)
    ]
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": content,
        "stop_reason": "tool_use" if calls else "end_turn",
        "usage": usage,
    }


async def main(port: int) -> None:
    state = State()
    server = await asyncio.get_running_loop().create_server(lambda: ModelProtocol(state), "127.0.0.1", port, backlog=8192)
    print(f"listening http://127.0.0.1:{server.sockets[0].getsockname()[1]} {os.getpid()}", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    import resource

    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=0)
    uvloop.run(main(parser.parse_args().port))
