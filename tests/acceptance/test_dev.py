"""`paddock dev` in front of a real server: saves, mistakes, the end; and debuggers that attach for real."""

from __future__ import annotations

import os
import shutil
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.support.command import Running, paddock
from tests.support.debuggers import Dap, Inspector
from tests.support.server import RunningServer, default_runtime

NODE = "nodejs20.x"
HANDLER = "def handler(event, context):\n    print('this is', {0!r})\n    return {0!r}\n"


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory that the server may mount. What lies above it may be closed: only the zygote goes that way."""
    return tmp_path_factory.mktemp("workplace")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, workplace: Path) -> Iterator[RunningServer]:
    with RunningServer(tmp_path_factory.mktemp("paddock"), dev_directories=workplace) as running:
        yield running


@pytest.fixture
def project(workplace: Path, name: str) -> Path:
    place = workplace / name
    place.mkdir(mode=0o755)
    return place


def save(path: Path, text: str) -> None:
    """As editors do: beside it, then over it."""
    beside = path.with_name(path.name + ".tmp")
    beside.write_text(text)
    beside.chmod(0o644)
    beside.rename(path)


def running(server: RunningServer, project: Path, *words: str) -> Running:
    return Running(server, "dev", str(project), "--runtime", default_runtime(), "--name", project.name, *words)


def test_each_save_is_what_the_next_event_runs(server: RunningServer, project: Path) -> None:
    save(project / "app.py", HANDLER.format("one"))
    with running(server, project, "--env", "STAGE=dev") as dev:
        dev.wait_for("mounted as its code")
        assert f"{project.name}: {default_runtime()}, handler app.handler (app.py)" in dev.text
        found = server.client("lambda").get_function_configuration(FunctionName=project.name)
        assert found["Environment"]["Variables"] == {"STAGE": "dev"}
        assert server.invoke(project.name)[0] == "one"
        (project / ".app.py.swp").write_text("an editor's")
        for number, text in enumerate(("two", "three"), 1):
            save(project / "app.py", HANDLER.format(text))
            dev.wait_for("reloaded: app.py", times=number)
            assert server.invoke(project.name)[0] == text
        save(project / "app.py", "def handler(event context):\n    return 1\n")
        dev.wait_for("reloaded: app.py", times=3)
        assert f"{project / 'app.py'}:1: SyntaxError: " in dev.text
        broken, answer = server.invoke(project.name)
        assert (answer["FunctionError"], broken["errorType"]) == ("Unhandled", "Runtime.UserCodeSyntaxError")
        dev.wait_for("[ERROR] Runtime.UserCodeSyntaxError")
        save(project / "app.py", HANDLER.format("mended"))
        dev.wait_for("reloaded: app.py", times=4)
        assert server.invoke(project.name)[0] == "mended"
        shown = dev.wait_for("this is mended")
        assert dev.interrupt() == 0
    assert [line for line in shown.splitlines() if line.startswith("this is")] == [
        "this is one", "this is two", "this is three", "this is mended"
    ]  # fmt: skip
    assert "REPORT RequestId: " in shown
    assert "/paddock/cli/" not in dev.text, "a traceback of our own"
    (project / "app.py").write_text(HANDLER.format("nobody watches"))
    assert server.invoke(project.name)[0] == "mended", "what was saved last, stored as its code"


def test_an_event_at_each_save(server: RunningServer, project: Path) -> None:
    shown = "export const handler = async (event) => {{ console.log('{0}', event.Records[0].body); return '{0}'; }};\n"
    save(project / "index.mjs", shown.format("one"))
    with Running(server, "dev", str(project), "--event", "sqs", "--set", "body=hay") as dev:
        dev.wait_for('answer: "one"')
        save(project / "index.mjs", shown.format("two"))
        dev.wait_for('answer: "two"')
        dev.wait_for("two hay")
        assert f"{NODE}, handler index.handler (index.mjs)" in dev.text or "nodejs" in dev.text
        save(project / "index.mjs", "export const handler = async () => { throw new TypeError('no hay'); };\n")
        dev.wait_for("TypeError: no hay\n    at ")


def test_elsewhere_each_save_is_uploaded(server: RunningServer, tmp_path: Path, name: str) -> None:
    save(tmp_path / "app.py", HANDLER.format("one"))
    with Running(server, "dev", str(tmp_path), "--runtime", default_runtime(), "--name", name) as dev:
        dev.wait_for("uploaded at each save")
        save(tmp_path / "app.py", HANDLER.format("two"))
        dev.wait_for("reloaded: app.py")
        assert server.invoke(name)[0] == "two"


def test_what_functions_could_not_read_is_uploaded(server: RunningServer, project: Path) -> None:
    save(project / "app.py", HANDLER.format("one"))
    (project / "app.py").chmod(0o600)
    with running(server, project) as dev:
        dev.wait_for("uploaded at each save")
        assert f"{project / 'app.py'} is not readable for others" in dev.text
        assert server.invoke(project.name)[0] == "one"


def test_a_directory_that_goes_ends_it(server: RunningServer, project: Path) -> None:
    save(project / "app.py", HANDLER.format("one"))
    with running(server, project) as dev:
        dev.wait_for("mounted as its code")
        shutil.rmtree(project)
        assert dev.wait() == 1
        assert f"paddock: {project} is gone." in dev.text
        assert "Traceback" not in dev.text


def test_what_cannot_begin_is_told(server: RunningServer, project: Path) -> None:
    for said, *words in (
        ("No handler was found", str(project)),
        ("is not a directory", str(project / "nothing")),
        ("no template 'nope'", str(project), "--event", "nope"),
        ("--env X: write it as NAME=VALUE", str(project), "--env", "X"),
    ):
        done = paddock(server, "dev", *words)
        assert (done.returncode, said in done.stderr) == (2, True), done.stderr
        assert "Traceback" not in done.stderr


def test_a_server_of_its_own(project: Path, tmp_path: Path) -> None:
    save(project / "app.py", HANDLER.format("one"))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        endpoint = f"http://127.0.0.1:{free.getsockname()[1]}"
    words = ("dev", str(project), "--runtime", default_runtime(), "--event", "hello", "--endpoint", endpoint)
    with Running(None, *words, PADDOCK_DATA_DIR=str(tmp_path / "data"), PADDOCK_NETWORK="none") as dev:
        dev.wait_for("starting one for as long as this runs")
        dev.wait_for('answer: "one"')
        assert "mounted as its code" in dev.text
        assert dev.interrupt() == 0
    assert paddock(None, "health", "--endpoint", endpoint).returncode == 1


# -- debuggers


def port_of(dev: Running) -> int:
    return int(dev.wait_for("until then the function waits").partition("may attach at 127.0.0.1:")[2].split(";")[0])


class Invoking:
    """An event on its way, in a thread: a debugger will stop it."""

    def __init__(self, server: RunningServer, name: str, event: object) -> None:
        self.answer: list[Any] = []
        self._thread = threading.Thread(target=lambda: self.answer.append(server.invoke(name, event)[0]))
        self._thread.start()

    def wait(self) -> Any:
        self._thread.join()
        return self.answer[0]


def test_debugpy_stops_where_it_is_told(server: RunningServer, project: Path) -> None:
    source = "def handler(event, context):\n    n = event['n']\n    total = n * 2\n    return total\n"
    save(project / "app.py", source)
    with running(server, project, "--debug", "0", "--timeout", "1") as dev:
        port = port_of(dev)
        assert listening_on(port) == {"127.0.0.1"}
        with socket.create_connection(("127.0.0.1", port)) as page:  # as a browser would
            page.sendall(b'POST / HTTP/1.1\r\nContent-Length: 2\r\n\r\n{"seq": 1}')
            assert page.recv(1) == b""
        for generation in (1, 2):
            debugger = Dap(port)
            debugger.answer(debugger.ask("initialize", adapterID="debugpy", linesStartAt1=True, columnsStartAt1=True))
            roots = [{"localRoot": str(project), "remoteRoot": "/var/task"}]
            attached = debugger.ask("attach", pathMappings=roots)
            debugger.event("initialized")
            lines = [{"line": 3}]
            set_ = debugger.ask("setBreakpoints", source={"path": str(project / "app.py")}, breakpoints=lines)
            assert [each["verified"] for each in debugger.answer(set_)["breakpoints"]] == [True]
            debugger.answer(debugger.ask("configurationDone"))
            debugger.answer(attached)
            invoking = Invoking(server, project.name, {"n": 20 + generation})
            stopped = debugger.event("stopped")
            frames = debugger.answer(debugger.ask("stackTrace", threadId=stopped["threadId"]))["stackFrames"]
            assert (frames[0]["source"]["path"], frames[0]["line"]) == (str(project / "app.py"), 3)
            seen = debugger.answer(debugger.ask("evaluate", expression="n", frameId=frames[0]["id"]))
            assert seen["result"] == str(20 + generation)
            outlast = "__import__('time').sleep(1.5)"  # the function's own second is over
            debugger.answer(debugger.ask("evaluate", expression=outlast, frameId=frames[0]["id"]))
            debugger.answer(debugger.ask("continue", threadId=stopped["threadId"]))
            assert invoking.wait() == 2 * (20 + generation)
            if generation == 1:  # what is saved under a debugger is loaded anew, and waits for one again
                save(project / "app.py", source.replace("context", "_"))
                dev.wait_for("reloaded: app.py")
            debugger.close()
    layers = server.client("lambda").get_function_configuration(FunctionName=project.name).get("Layers", [])
    assert layers == [], "the debugger's layer is gone with it"


def test_the_inspector_stops_where_it_is_told(server: RunningServer, project: Path) -> None:
    source = (
        "export const handler = async (event) => {\n  const n = event.n;\n  const total = n * 2;\n  return total;\n};\n"
    )
    save(project / "index.mjs", source)
    with Running(server, "dev", str(project), "--debug", "0", "--timeout", "1") as dev:
        port = port_of(dev)
        assert listening_on(port) == {"127.0.0.1"}
        debugger = Inspector(port)
        assert debugger.targets[0]["type"] == "node"
        debugger.ask("Debugger.enable")
        debugger.ask("Debugger.setBreakpointByUrl", lineNumber=2, urlRegex=".*/var/task/index.mjs")
        debugger.ask("Runtime.runIfWaitingForDebugger")
        invoking = Invoking(server, project.name, {"n": 21})
        frame = debugger.event("Debugger.paused")["callFrames"][0]
        assert (frame["functionName"], frame["location"]["lineNumber"]) == ("handler", 2)
        given = {"callFrameId": frame["callFrameId"], "returnByValue": True}
        outlast = "{ const until = Date.now() + 1500; while (Date.now() < until); n }"
        seen = debugger.ask("Debugger.evaluateOnCallFrame", expression=outlast, **given)
        assert seen["result"]["value"] == 21
        debugger.ask("Debugger.resume")
        assert invoking.wait() == 42
        debugger.close()


def test_a_save_breaks_off_what_a_debugger_holds(server: RunningServer, project: Path) -> None:
    save(project / "app.py", HANDLER.format("one"))
    with running(server, project, "--debug", "0") as dev:
        port_of(dev)
        dev.wait_for("Waiting for a debugger.")
        waiting: list[str] = []

        def invoke() -> None:
            with pytest.raises(ClientError) as refused:
                server.invoke(project.name)
            waiting.append(refused.value.response["Error"]["Code"])

        thread = threading.Thread(target=invoke)
        thread.start()
        while not waiting:
            save(project / "app.py", HANDLER.format(f"{os.urandom(4).hex()}"))
            thread.join(1)
        assert waiting == ["ResourceConflictException"]
        dev.wait_for("Waiting for a debugger.", times=2)


def test_what_has_no_debugger_is_told(server: RunningServer, project: Path) -> None:
    (project / "bootstrap").write_text("#!/bin/sh\n")
    (project / "bootstrap").chmod(0o755)
    done = paddock(server, "dev", str(project), "--debug")
    assert (done.returncode, "there is for Python and Node.js" in done.stderr) == (3, True), done.stderr


def listening_on(port: int) -> set[str]:
    """The addresses of this machine that listen at the port."""
    found = set()
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        address, number = line.split()[1].split(":")
        if int(number, 16) == port and line.split()[3] == "0A":
            found.add(socket.inet_ntoa(bytes.fromhex(address)[::-1]))
    for line in Path("/proc/net/tcp6").read_text().splitlines()[1:]:
        if int(line.split()[1].split(":")[1], 16) == port and line.split()[3] == "0A":
            found.add("an IPv6 address")
    return found
