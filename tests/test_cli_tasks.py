"""Files of tasks: what is taken, and what is refused with the line where it stands."""

import json
from pathlib import Path

import pytest

from tests.support.installation import Installation, PlayedModel
from tests.test_cli import passel_command

PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108020000009077"
    "53de0000000c4944415408d763606060000000040001f61738550000000049454e44ae426082"
)


def results(passel: Installation, agent: str, tasks: Path, *arguments: str) -> list[dict]:
    tasks.with_suffix(".results.jsonl").unlink(missing_ok=True)
    done = passel_command(passel, "run", str(tasks), "--agent", agent, "--quiet", *arguments)
    assert done.returncode == 0 and done.stderr == "", done.stderr
    return [json.loads(line) for line in tasks.with_suffix(".results.jsonl").read_text().splitlines()]


def refusal(passel: Installation, agent: str, tasks: Path, *arguments: str) -> str:
    """What is said of tasks that are not submitted."""
    newest = passel.client.get("/v1/session-batches", limit=1)
    done = passel_command(passel, "run", str(tasks), "--agent", agent, *arguments)
    assert done.returncode == 1 and done.stdout == "" and "Traceback" not in done.stderr, done.stderr
    assert passel.client.get("/v1/session-batches", limit=1) == newest
    assert not tasks.with_suffix(".results.jsonl").exists()
    return done.stderr


def test_a_byte_order_mark_and_characters_that_split_lines_elsewhere(passel: Installation, agent: str, tmp_path: Path) -> None:
    tasks = tmp_path / "t.jsonl"
    tasks.write_text('{"task": "sep", "prompt": "a\u2028b\x85c"}\r\n', encoding="utf-8-sig", newline="")
    assert [r["text"] for r in results(passel, agent, tasks)] == ["echo: a\u2028b\x85c"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b'{"prompt": "fine"}\n{"prompt": "caf\xe9"}\n', ["t.jsonl:2", "0xe9", "UTF-8", "iconv"]),
        ('{"prompt": "x"}'.encode("utf-16"), ["t.jsonl", "UTF-16"]),
        (b'{"task": "a", "prompt": "x"}\n\n{"task": "a", "prompt": "y"}\n', ["t.jsonl:3", "t.jsonl:1", '"a"']),
        (b'{"prompt": "x"}\n{"prompt": "y", "metadata": {"prio": 3}}\n', ["t.jsonl:2", "metadata.prio is 3", 'write "3"']),
        (b'{"prompt": "x"}\n{"prompt": "y", "metadata": {"k": "' + b"v" * 600 + b'"}}\n', ["t.jsonl:2: metadata.k", "512"]),
        (b'{"prompt": "x"}\n{"prompt": "' + b"y" * 17_000_000 + b'"}\n', ["t.jsonl:2", "16777216", '"path"']),
        (b'{"prompt": "x", "llm_id": "nosuch"}\n', ["t.jsonl:1", "nosuch", "echo"]),
        (b'{"content": [{"type": "image", "path": "none.png"}]}\n', ["t.jsonl:1", "content[0]", "none.png"]),
        (b'{"content": []}\n', ["t.jsonl:1", "content"]),
        (b'{"prompt": "half \\ud800 a pair"}\n', ["t.jsonl:1", "surrogate"]),
    ],
)
def test_what_is_wrong_is_said_with_its_line(passel: Installation, agent: str, tmp_path: Path, content: bytes, said: list[str]) -> None:
    tasks = tmp_path / "t.jsonl"
    tasks.write_bytes(content)
    told = refusal(passel, agent, tasks)
    assert all(part in told for part in said), told


def test_an_unknown_option_is_refused_before_anything_is_submitted(passel: Installation, agent: str, tmp_path: Path) -> None:
    tasks = tmp_path / "t.jsonl"
    tasks.write_text('{"prompt": "x"}\n')
    told = refusal(passel, agent, tasks, "--llm", "echo", "--llm", "ehco")
    assert "--llm ehco" in told and "it has echo, count" in told


def test_one_name_may_stand_twice_for_two_options(passel: Installation, agent: str, tmp_path: Path) -> None:
    tasks = tmp_path / "t.jsonl"
    tasks.write_text('{"task": "a", "prompt": "x", "llm_id": "echo"}\n{"task": "a", "prompt": "x", "llm_id": "count"}\n')
    assert [r["llm_id"] for r in results(passel, agent, tasks)] == ["echo", "count"]
    assert '"a"' in passel_command(passel, "run", str(tasks), "--agent", agent, "--llm", "echo").stderr


def test_files_that_tasks_name_are_uploaded_once_each(passel: Installation, agent: str, model: PlayedModel, tmp_path: Path) -> None:
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "dot.png").write_bytes(PNG)
    (tmp_path / "note.txt").write_text("a note")
    content = [{"type": "text", "text": "look"}, {"type": "image", "path": "pictures/dot.png"}, {"type": "file", "path": "note.txt"}]
    tasks = tmp_path / "t.jsonl"
    tasks.write_text("".join(json.dumps({"task": name, "content": content}) + "\n" for name in ("one", "two")))
    lines = results(passel, agent, tasks, "--llm", "count")
    assert [json.loads(line["text"])["kinds"] for line in lines] == [["text", "image_url", "text"]] * 2
    transcripts = [passel.client.get(f"/v1/sessions/{line['session_id']}/transcript")["timeline"]["items"][0] for line in lines]
    ids = [[block.get("file_id") for block in item["content"]] for item in transcripts]
    assert ids[0] == ids[1] and len(set(ids[0])) == 3


def test_files_upload_tells_the_ids(passel: Installation, tmp_path: Path) -> None:
    (tmp_path / "dot.png").write_bytes(PNG)
    done = passel_command(passel, "files", "upload", str(tmp_path / "dot.png"), "--json")
    assert json.loads(done.stdout)[0]["filename"] == "dot.png" and json.loads(done.stdout)[0]["size_bytes"] == len(PNG)
    assert "there is no file" in passel_command(passel, "files", "upload", str(tmp_path / "none")).stderr


def test_csv_with_a_prompt_or_a_task_column(passel: Installation, agent: str, tmp_path: Path) -> None:
    tasks = tmp_path / "t.csv"
    tasks.write_text('task;prompt;colour\r\none;"Say; ""hi""";red\r\ntwo;"two\nlines";\r\n', encoding="utf-8-sig", newline="")
    found = results(passel, agent, tasks)
    assert [(r["metadata"], r["text"]) for r in found] == [
        ({"task": "one", "colour": "red"}, 'echo: Say; "hi"'),
        ({"task": "two"}, "echo: two\nlines"),
    ]
    tasks.write_text("task,llm_id\nWhat is it?,count\nAnd this?,echo\n")
    assert [(r["metadata"]["task"], r["llm_id"]) for r in results(passel, agent, tasks)] == [("task-1", "count"), ("task-2", "echo")]
    tasks.with_suffix(".results.jsonl").unlink()
    for content, said in (("a,b\n1,2\n", "t.csv:1"), ("prompt,x\na,b\nc,d,e\n", "t.csv:3"), ('prompt\n"open\n', "t.csv:2")):
        tasks.write_text(content)
        assert said in refusal(passel, agent, tasks)
