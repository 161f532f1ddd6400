"""`paddock invoke`, `events` and `logs` in front of a real server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.command import Running, paddock
from tests.support.server import RunningServer

SOURCE = """
import json

def handler(event, context):
    print("got", json.dumps(event, sort_keys=True))
    if event.get("fail"):
        raise KeyError(event["fail"])
    return {"event": event, "version": context.function_version, "name": "Zoë"}
"""


@pytest.fixture(scope="module")
def echo(server: RunningServer) -> str:
    server.create("cli-echo", SOURCE)
    return "cli-echo"


def test_an_answer_is_for_pipes_and_the_log_is_not(server: RunningServer, echo: str) -> None:
    done = paddock(server, "invoke", echo, "--payload", '{"a": 1}', "--log")
    assert (done.returncode, json.loads(done.stdout)["event"]) == (0, {"a": 1})
    assert done.stderr.startswith("START RequestId: ")
    assert 'got {"a": 1}\n' in done.stderr
    assert "\nREPORT RequestId: " in done.stderr
    assert "\x1b" not in done.stdout + done.stderr
    silent = paddock(server, "invoke", echo)
    assert (silent.stderr, json.loads(silent.stdout)["event"]) == ("", {})


def test_an_error_of_the_function_is_status_1_with_its_stack(server: RunningServer, echo: str) -> None:
    done = paddock(server, "invoke", echo, "--payload", '{"fail": "hay"}')
    assert done.returncode == 1
    assert json.loads(done.stdout)["errorType"] == "KeyError"
    assert done.stderr.startswith("KeyError: 'hay'\n")
    assert 'File "/var/task/app.py", line 7, in handler\n    raise KeyError(event["fail"])' in done.stderr


def test_events_from_everywhere(server: RunningServer, echo: str, tmp_path: Path) -> None:
    def sent(*words: str, text: str = "") -> object:
        done = paddock(server, "invoke", echo, *words, text=text, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)["event"]

    (tmp_path / "event.json").write_text('{"from": {"file": [1, 2]}}')
    assert sent("--event", "event.json") == {"from": {"file": [1, 2]}}
    assert sent("--event", "event.json", "--set", "from.file.1=7") == {"from": {"file": [1, 7]}}
    assert sent("--event", "-", text='{"from": "a pipe"}') == {"from": "a pipe"}
    made = sent("--event", "s3-put", "--set", "bucket=mine", "--set", "Records.0.s3.object.size=5")
    assert isinstance(made, dict)
    assert made["Records"][0]["s3"]["bucket"]["name"] == "mine"
    assert made["Records"][0]["s3"]["object"]["size"] == 5
    printed = paddock(server, "events", "sqs", "--set", "body=hear").stdout
    assert json.loads(printed)["Records"][0]["body"] == "hear"
    assert sent("--event", "-", text=printed) == json.loads(printed)
    assert paddock(server, "events").stdout == paddock(server, "invoke", "--list-templates").stdout


def test_mistakes_are_told_in_a_line(server: RunningServer, echo: str, tmp_path: Path) -> None:
    for status, said, *words in (
        (2, "no template 'nope'", "invoke", echo, "--event", "nope"),
        (2, "--payload is not JSON", "invoke", echo, "--payload", "{"),
        (2, "there is no 'x' in the event", "invoke", echo, "--event", "sqs", "--set", "x.y=1"),
        (2, "which function?", "invoke"),
        (2, "--since", "logs", echo, "--since", "yesterday"),
        (3, "Function not found: ", "invoke", "cli-nobody"),
        (3, "ResourceNotFoundException", "logs", "cli-nobody"),
        (3, "paddock up", "invoke", echo, "--endpoint", "http://127.0.0.1:1"),
        (3, "not an http address", "logs", echo, "--endpoint", "file:///etc"),
    ):
        done = paddock(server, *words)
        assert (done.returncode, done.stdout) == (status, ""), words
        assert said in done.stderr
        assert len(done.stderr.splitlines()) == 1, done.stderr


def test_a_version_a_queue_and_a_stream(server: RunningServer, echo: str) -> None:
    server.client("lambda").publish_version(FunctionName=echo)
    assert json.loads(paddock(server, "invoke", echo, "--qualifier", "1").stdout)["version"] == "1"
    queued = paddock(server, "invoke", echo, "--async", "--payload", '{"queued": true}')
    assert (queued.returncode, queued.stdout) == (0, "")
    request_id = queued.stderr.split()[-1]
    with Running(server, "logs", echo, "--follow", "--request-id", request_id) as following:
        shown = following.wait_for("REPORT RequestId: " + request_id)
    assert 'got {"queued": true}' in shown
    assert shown.count("RequestId: ") == 3, "START, END and REPORT of this one only"
    streamed = paddock(server, "invoke", echo, "--stream", "--log")
    assert json.loads(streamed.stdout)["name"] == "Zoë"
    assert "REPORT" in streamed.stderr
    failed = paddock(server, "invoke", echo, "--stream", "--payload", '{"fail": "oats"}')
    assert (failed.returncode, "oats" in failed.stderr) == (1, True)


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[RunningServer]:
    with RunningServer(tmp_path) as running:
        yield running


def test_following_neither_misses_nor_repeats_over_a_restart(own_server: RunningServer) -> None:
    function = "def handler(event, context):\n    for i in range(3):\n        print('line', event, i)\n"
    own_server.create("talker", function)
    port = int(own_server.endpoint.rpartition(":")[2])
    with Running(own_server, "logs", "talker", "--follow") as following:
        following.wait_for("no log yet")
        for number in range(5):
            own_server.invoke("talker", number)
        following.wait_for("REPORT", times=5)
        own_server.stop()
        following.wait_for("Waiting for it.")
        own_server.start(port)
        for number in range(5, 10):
            own_server.invoke("talker", number)
        following.wait_for("REPORT", times=10)
        assert following.interrupt() == 0
    lines = [line for line in following.lines if line.startswith("line ")]
    assert lines == [f"line {number} {i}\n" for number in range(10) for i in range(3)]
    assert "Traceback" not in following.text
    kept = paddock(own_server, "logs", "talker", "--filter", '"line 7"', "--times").stdout.splitlines()
    assert [line[31:] for line in kept] == ["line 7 0", "line 7 1", "line 7 2"]
