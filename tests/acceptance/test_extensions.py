"""Real extensions in real sandboxes: started before the runtime, told of events, and given their time at the end."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import time
import urllib.request
import uuid
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.support.calls import until
from tests.support.extensions import extension, layer
from tests.support.server import RunningServer, zipped
from tests.support.traces import mounts_of, traces

PYTHON = Path("/usr/bin/python3")

pytestmark = pytest.mark.skipif(not PYTHON.exists(), reason="the extensions of these tests are written in Python")

OBSERVER = """
open("/tmp/started", "w").write(str(time.monotonic()))
say("registered", json.dumps(register("INVOKE", "SHUTDOWN")))
while True:
    event = following()
    say("event", json.dumps(event))
    if event["eventType"] == "SHUTDOWN":
        say("runtime is", "there" if os.path.exists("/tmp/alive") else "gone")
        sys.exit(0)
"""

BASH = r"""#!/bin/bash
host=${AWS_LAMBDA_RUNTIME_API%:*}; port=${AWS_LAMBDA_RUNTIME_API#*:}
ask() { # method path body headers...
    exec 9<>"/dev/tcp/$host/$port"
    printf '%s %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: %d\r\n' "$1" "$2" "${#3}" >&9
    printf '%b\r\n%s' "$4" "$3" >&9
    cat <&9; exec 9>&-
}
id=$(ask POST /2020-01-01/extension/register '{"events":["INVOKE"]}' "Lambda-Extension-Name: ${0##*/}\r\n" |
    tr -d '\r' | sed -n 's/^Lambda-Extension-Identifier: //p')
while true; do
    answer=$(ask GET /2020-01-01/extension/event/next '' "Lambda-Extension-Identifier: $id\r\n")
    echo "shell saw ${answer##*$'\n'}"
done
"""

SOURCE = """
import os, time
STARTED = float(open("/tmp/started").read()) if os.path.exists("/tmp/started") else None
NOW = time.monotonic()
def handler(event, context):
    return {"before": STARTED is not None and STARTED < NOW, "id": context.aws_request_id}
"""


def lines(server: RunningServer, name: str) -> list[str]:
    events = server.client("logs").filter_log_events(logGroupName=f"/aws/lambda/{name}")["events"]
    return [event["message"] for event in events]


def environments(server: RunningServer) -> int:
    with urllib.request.urlopen(f"{server.endpoint}/health") as answer:
        return int(json.load(answer)["environments"])


def told(server: RunningServer, name: str, text: str, patience_s: float = 30.0) -> list[str]:
    """The function's log once some line of it holds the text."""

    def look() -> list[str]:
        try:
            found = lines(server, name)
        except server.client("logs").exceptions.ResourceNotFoundException:
            return []
        return found if any(text in line for line in found) else []

    return until(look, patience_s)


@pytest.fixture(scope="module")
def short(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A Paddock that reaps what has been idle for a moment."""
    directory = tmp_path_factory.mktemp("short")
    with RunningServer(
        directory, environment_idle_timeout_s=1, freeze_after_idle_ms=100, keep_alive="fixed"
    ) as running:
        yield running


def test_from_its_start_to_its_end(short: RunningServer, name: str) -> None:
    arn = layer(short, {"observer": extension(OBSERVER)})
    made = short.create(name, SOURCE, Layers=[arn])
    found, _ = short.invoke(name)
    assert found["before"], "it started before the runtime"
    text = told(short, name, "runtime is gone")
    (registered,) = [line for line in text if "registered" in line]
    assert json.loads(registered.partition("registered")[2]) == {
        "functionName": name,
        "functionVersion": "$LATEST",
        "handler": "app.handler",
    }
    assert "EXTENSION\tName: observer\tState: Ready\tEvents: [INVOKE, SHUTDOWN]\n" in text
    events = [json.loads(line.partition("event")[2]) for line in text if line.startswith("observer event")]
    assert [event["eventType"] for event in events] == ["INVOKE", "SHUTDOWN"]
    assert events[0]["requestId"] == found["id"]
    assert events[0]["invokedFunctionArn"] == made["FunctionArn"]
    assert events[0]["tracing"]["value"].startswith("Root=1-")
    assert events[1]["shutdownReason"] == "spindown"


TERM = """
import atexit, os, signal, sys, urllib.request
def post(path, body, **headers):
    request = urllib.request.Request(
        f"http://{os.environ['AWS_LAMBDA_RUNTIME_API']}/2020-01-01/extension/{path}", body, headers
    )
    return urllib.request.urlopen(request)
if os.environ.get("INTERNAL"):
    import threading
    answer = post("register", b'{"events":["INVOKE"]}', **{"Lambda-Extension-Name": "inside"})
    identifier = answer.headers["Lambda-Extension-Identifier"]
    def listen():
        while True:
            post("event/next", None, **{"Lambda-Extension-Identifier": identifier}).read()
    threading.Thread(target=listen, daemon=True).start()
def on_term(number, frame):
    print("caught", number, flush=True)
    sys.exit(0)
signal.signal(signal.SIGTERM, on_term)
atexit.register(lambda: print("at exit", flush=True))
def handler(event, context):
    return "fine"
"""


def test_a_runtime_with_an_internal_extension_gets_sigterm(short: RunningServer, name: str) -> None:
    short.create(name, TERM, Environment={"Variables": {"INTERNAL": "1"}})

    def ended() -> list[str]:
        """The log after another environment's end, once it had its say in AWS's half second, which is real time."""
        assert short.invoke(name)[0] == "fine"
        until(lambda: environments(short) == 0)
        found = lines(short, name)
        return found if "at exit\n" in found else []

    text = until(ended)
    assert "caught 15\n" in text
    assert "EXTENSION\tName: inside\tState: Ready\tEvents: [INVOKE]\n" in text


def test_a_runtime_without_extensions_is_killed(short: RunningServer, name: str) -> None:
    short.create(name, TERM)
    assert short.invoke(name)[0] == "fine"
    until(lambda: environments(short) == 0)
    assert "caught 15\n" not in lines(short, name)


def test_node_and_its_own_child_get_sigterm(short: RunningServer, name: str) -> None:
    arn = layer(short, {"observer": extension(OBSERVER)})
    source = """
process.on("SIGTERM", () => { console.log("caught it"); process.exit(0); });
exports.handler = async () => "fine";
"""
    for variables in ({}, {"NODE_OPTIONS": "--no-warnings"}):  # the second needs a process of its own
        own = f"{name}-{len(variables)}"
        given = {"Runtime": "nodejs20.x", "Handler": "app.handler", "Layers": [arn]}
        short.create(own, {"app.js": source}, Environment={"Variables": variables}, **given)
        assert short.invoke(own)[0] == "fine"
        assert any("caught it" in line for line in told(short, own, "runtime is gone"))


def test_in_a_shell_and_beside_another(server: RunningServer, name: str) -> None:
    first = layer(server, {"observer": extension(OBSERVER)})
    second = layer(server, {"shell": BASH})
    server.create(name, SOURCE, Layers=[first, second])
    found, _ = server.invoke(name)
    text = told(server, name, found["id"])
    text = told(server, name, "shell saw")
    assert any(found["id"] in line for line in text if line.startswith("shell saw"))
    assert any(found["id"] in line for line in text if line.startswith("observer event"))


# On system calls alone: the packages net and fmt would have to be compiled, for a minute on a small machine.
GO = r"""package main

import (
	"os"
	"strconv"
	"strings"
	"syscall"
)

func ask(method, path, header, body string) (head, text string) {
	host, port, _ := strings.Cut(os.Getenv("AWS_LAMBDA_RUNTIME_API"), ":")
	to := &syscall.SockaddrInet4{}
	to.Port, _ = strconv.Atoi(port)
	for at, part := range strings.Split(host, ".") {
		number, _ := strconv.Atoi(part)
		to.Addr[at] = byte(number)
	}
	socket, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	if err == nil {
		err = syscall.Connect(socket, to)
	}
	if err != nil {
		panic(err)
	}
	defer syscall.Close(socket)
	syscall.Write(socket, []byte(method+" /2020-01-01/extension/"+path+" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"+
		header+"\r\nContent-Length: "+strconv.Itoa(len(body))+"\r\n\r\n"+body))
	whole, piece := "", make([]byte, 4096)
	for {
		count, err := syscall.Read(socket, piece)
		if err == syscall.EINTR {
			continue
		}
		if err != nil || count == 0 {
			break
		}
		whole += string(piece[:count])
	}
	head, text, _ = strings.Cut(whole, "\r\n\r\n")
	return
}

func main() {
	name := os.Args[0][strings.LastIndex(os.Args[0], "/")+1:]
	head, _ := ask("POST", "register", "Lambda-Extension-Name: "+name, `{"events":["INVOKE","SHUTDOWN"]}`)
	_, id, _ := strings.Cut(head, "Lambda-Extension-Identifier: ")
	id, _, _ = strings.Cut(id, "\r\n")
	for {
		_, event := ask("GET", "event/next", "Lambda-Extension-Identifier: "+id, "")
		os.Stdout.WriteString("go saw " + event + "\n")
		if strings.Contains(event, `"SHUTDOWN"`) {
			return
		}
	}
}
"""


def test_a_static_go_binary(short: RunningServer, name: str, tmp_path: Path) -> None:
    try:
        subprocess.run(["go", "version"], check=True, capture_output=True)
    except OSError:
        pytest.skip("there is no Go on this machine")
    (tmp_path / "main.go").write_text(GO)
    build = ["go", "build", "-ldflags", "-s -w", "-o", "gopher", "main.go"]
    subprocess.run(build, cwd=tmp_path, check=True, env={**os.environ, "CGO_ENABLED": "0"})
    arn = layer(short, {"gopher": (tmp_path / "gopher").read_bytes()})
    short.create(name, SOURCE, Layers=[arn])
    found, _ = short.invoke(name)
    text = told(short, name, "spindown")
    assert any(line.startswith("go saw") and found["id"] in line for line in text)


def test_those_that_fail(short: RunningServer, name: str) -> None:
    """By name: what the extension does, the error of an event, and a line of the log."""
    cases = {
        "crash": ("sys.exit(7)", "Extension.Crash", "exit code 7", "State: Started"),
        "killed": ("register(); os.kill(os.getpid(), 9)", "Extension.Crash", "signal: killed", "State: Registered"),
        "init": (
            "register('INVOKE')\n"
            "call('POST', '/2020-01-01/extension/init/error', '{}', "
            "{'Lambda-Extension-Function-Error-Type': 'Extension.NoConfig'})\nsys.exit(1)",
            "Extension.InitError",
            "exit code 1",
            "Error Type: Extension.NoConfig",
        ),
        "silent": ("time.sleep(60)", "Sandbox.Timedout", "Task timed out after 1.00 seconds", "State: Started"),
    }
    client = short.client("lambda")
    for case, (body, error_type, message, line) in cases.items():
        own = f"{name}-{case}"
        arn = layer(short, {"failing": extension(body)})
        short.create(own, SOURCE, Layers=[arn], Timeout=1 if case == "silent" else 20)
        payload, answer = short.invoke(own, None, LogType="Tail")
        assert answer["FunctionError"] == "Unhandled"
        assert payload["errorType"] == error_type, case
        assert message in payload["errorMessage"], case
        assert f"EXTENSION\tName: failing\t{line}" in "".join(told(short, own, line)) or line.startswith("Error")
        client.delete_function(FunctionName=own)


@pytest.mark.parametrize(("content", "mode", "text"), [
    ("#!/bin/sh\n", 0o644, "permission denied"),
    ("no program\n", 0o755, "exec format error"),
    ("#!/no/such/interpreter\n", 0o755, "no such file or directory"),
])  # fmt: skip
def test_what_cannot_be_executed(server: RunningServer, name: str, content: str, mode: int, text: str) -> None:
    made = server.client("lambda").publish_layer_version(
        LayerName=f"l-{uuid.uuid4().hex[:8]}", Content={"ZipFile": zipped({"extensions/bad": content}, mode)}
    )
    server.create(name, SOURCE, Layers=[made["LayerVersionArn"]])
    payload, _ = server.invoke(name)
    assert payload["errorType"] == "Extension.LaunchError"
    assert payload["errorMessage"].endswith(f"Error: fork/exec /opt/extensions/bad: {text}")


def test_an_answer_does_not_wait_for_what_extensions_do_after_it(server: RunningServer, name: str) -> None:
    slow = """
register("INVOKE")
while True:
    request_id = following()["requestId"]
    time.sleep(1.5)
    say("through with", request_id)
"""
    arn = layer(server, {"slow": extension(slow)})
    server.create(name, SOURCE, Layers=[arn])
    found, _ = server.invoke(name)
    answered_ms = time.time() * 1000
    told(server, name, f"slow through with {found['id']}")
    events = server.client("logs").filter_log_events(logGroupName=f"/aws/lambda/{name}")["events"]
    (through_ms,) = [event["timestamp"] for event in events if event["message"].startswith("slow through")]
    assert answered_ms < through_ms, "it has its answer before the extension is through"
    report = next(line for line in told(server, name, "REPORT") if line.startswith("REPORT"))
    assert float(report.partition("Duration: ")[2].split()[0]) >= 1490, "what comes after the answer is billed"
    _, answer = server.invoke(name, None, LogType="Tail")
    assert b"REPORT" in base64.b64decode(answer["LogResult"]), "who asks for the log gets its end"


def test_tmp_stays_and_extensions_start_again_after_a_timeout(server: RunningServer, name: str) -> None:
    counting = """
register("INVOKE", "SHUTDOWN")
count = len(open("/tmp/count").read()) if os.path.exists("/tmp/count") else 0
open("/tmp/count", "a").write("x")
while True:
    event = following()
    say(count, event["eventType"], event.get("shutdownReason"))
    if event["eventType"] == "SHUTDOWN":
        break
"""
    source = "import time\ndef handler(event, context):\n    time.sleep(event)\n    return open('/tmp/count').read()\n"
    arn = layer(server, {"counting": extension(counting)})
    server.create(name, source, Layers=[arn], Timeout=1)
    assert server.invoke(name, 0)[0] == "x"
    assert server.invoke(name, 5)[0]["errorType"] == "Sandbox.Timedout"
    told(server, name, "SHUTDOWN timeout")
    answers: list[Any] = [server.invoke(name, 0)[0] for _ in range(2)]
    assert set(answers) <= {"x", "xx"}
    assert "xx" in answers or answers == ["x", "x"], "in the same environment, or in a new one while that recovers"


# -- the end of everything


STUBBORN = """
signal.signal(signal.SIGTERM, signal.SIG_IGN)
register("SHUTDOWN")
following()
open("/tmp/inside", "w").close()
time.sleep(60)
"""


def test_a_server_that_stops_gives_them_their_time(tmp_path: Path) -> None:
    with RunningServer(tmp_path) as own:
        own.create("fn", SOURCE, Layers=[layer(own, {"observer": extension(OBSERVER)})])
        assert own.invoke("fn")[0]["before"]
    with RunningServer(tmp_path) as own:
        text = lines(own, "fn")
        assert any('"SHUTDOWN"' in line for line in text)
        assert "observer runtime is gone\n" in text


def seen_or_over(server: RunningServer, marks: list[Path]) -> str:
    if any(mark.exists() for mark in marks):
        return "seen"
    return "" if environments(server) else "over"


def test_nothing_is_left_when_the_server_is_killed_in_the_middle_of_a_shutdown(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root to look into environments")
    own = RunningServer(tmp_path).start()
    try:
        arn = layer(own, {"stubborn": extension(STUBBORN)})
        for attempt in range(10):  # its two seconds are real time: on a busy machine they may pass unseen
            name = f"fn-{attempt}"
            own.create(name, SOURCE, Layers=[arn])
            own.invoke(name)
            before = traces(own)
            marks = [Path("/proc", str(pid), "root/tmp/inside") for pid, _ in before.processes]
            own.client("lambda").delete_function(FunctionName=name)
            if until(partial(seen_or_over, own, marks)) == "seen":
                break
        else:
            raise AssertionError("no shutdown was seen")
        own.kill()
        until(lambda: not before.left())
        assert own.groups() == []
        assert mounts_of(own.data_dir) == []
    finally:
        own.stop()


def test_one_that_ignores_its_shutdown_is_ended(short: RunningServer, name: str) -> None:
    short.create(name, SOURCE, Layers=[layer(short, {"stubborn": extension(STUBBORN)})])
    short.invoke(name)
    until(lambda: environments(short) == 0)
