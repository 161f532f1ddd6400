"""What `paddock dev` opens: for nobody but programs of this machine, no directory but the operator's, read-only."""

from __future__ import annotations

import http.client
import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.security.conftest import ORDINARY_UID, make_server
from tests.support.debuggers import Inspector
from tests.support.server import RunningServer, zipped

SHOWN = "def handler(event, context):\n    return open('/var/task/shown').read()\n"
ASKING = """
import json, os, urllib.error, urllib.request

def handler(event, context):
    body = json.dumps({"FunctionArn": context.invoked_function_arn, "Directory": event["directory"]}).encode()
    try:
        return urllib.request.urlopen(os.environ["AWS_ENDPOINT_URL"] + "/_paddock/develop", body).status
    except urllib.error.HTTPError as error:
        return error.code
"""


@pytest.fixture(scope="module")
def server(mode: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """With a directory `work` beside its data that may be mounted, and one `other` that may not."""
    running = make_server(mode, tmp_path_factory.mktemp("developing"))
    place = running.data_dir.parent
    running.settings["dev_directories"] = place / "work"
    for name in ("work", "work/hello", "other", "workx"):
        (place / name).mkdir()
        (place / name).chmod(0o755)
        (place / name / "shown").write_text(name)
        (place / name / "app.py").write_text(SHOWN)
        for each in (place / name, *(place / name).iterdir()):
            if os.geteuid() == 0 and mode == "rootless":
                os.chown(each, ORDINARY_UID, ORDINARY_UID)
    with running:
        yield running


@pytest.fixture
def work(server: RunningServer) -> Path:
    return server.data_dir.parent / "work"


def develop(server: RunningServer, headers: dict[str, str] | None = None, **wanted: Any) -> tuple[int, Any]:
    connection = http.client.HTTPConnection(server.endpoint.removeprefix("http://"))
    try:
        connection.request("POST", "/_paddock/develop", json.dumps(wanted), headers or {})
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def test_the_operators_directories_and_no_others(server: RunningServer, work: Path) -> None:
    arn = server.create("own", {"app.py": SHOWN, "shown": "its own"})["FunctionArn"]
    for directory in (work, work / "hello"):
        assert develop(server, FunctionArn=arn, Directory=str(directory), Generation=hash(directory) % 1000)[0] == 200
        assert server.invoke("own")[0] == str(directory.relative_to(work.parent))
    for directory in (
        work.parent / "other",
        work.parent / "workx",
        work.parent,
        "/etc",
        f"{work}/../other",
        "work",
        "/",
    ):
        assert develop(server, FunctionArn=arn, Directory=str(directory), Generation=7)[0] == 400
    assert develop(server, FunctionArn=arn, End=True)[0] == 200
    assert server.invoke("own")[0] == "its own"


def test_a_link_leads_nowhere(server: RunningServer, work: Path) -> None:
    arn = server.create("linked", {"app.py": SHOWN, "shown": "its own"})["FunctionArn"]
    (work / "link").symlink_to("../other")
    assert develop(server, FunctionArn=arn, Directory=str(work / "link"), Generation=1)[0] == 200
    with pytest.raises(ClientError, match="could not start an environment"):
        server.invoke("linked")
    (work / "hello" / "out").symlink_to("../../other/shown")
    (work / "hello" / "app.py").write_text(SHOWN.replace("shown", "out"))
    assert develop(server, FunctionArn=arn, Directory=str(work / "hello"), Generation=2)[0] == 200
    assert server.invoke("linked")[0]["errorType"] == "FileNotFoundError", "inside, a link is the function's own"
    develop(server, FunctionArn=arn, End=True)


def test_nothing_is_written_through_it(server: RunningServer, work: Path) -> None:
    arn = server.create("writing", SHOWN)["FunctionArn"]
    place = work / "open"
    place.mkdir()
    place.chmod(0o777)
    (place / "app.py").write_text("def handler(event, context):\n    open('/var/task/x', 'w')\n")
    (place / "app.py").chmod(0o666)
    assert develop(server, FunctionArn=arn, Directory=str(place), Generation=1)[0] == 200
    assert "Read-only file system" in server.invoke("writing")[0]["errorMessage"]
    assert [path.name for path in place.iterdir()] == ["app.py"]
    develop(server, FunctionArn=arn, End=True)


def test_neither_functions_nor_pages_ask_for_it(server: RunningServer, work: Path) -> None:
    arn = server.create("asking", ASKING)["FunctionArn"]
    assert server.invoke("asking", {"directory": str(work)})[0] in (400, 403, 404)
    for origin in ("https://example.com", "http://localhost:3000"):
        assert develop(server, {"Origin": origin}, FunctionArn=arn, Directory=str(work))[0] in (400, 403, 404)
    assert server.invoke("asking", {"directory": str(work)})[0] != 200, "its code is its own"
    assert develop(server, FunctionArn=arn + "x", Directory=str(work))[0] == 404
    assert develop(server, FunctionArn="x")[0] == 400
    assert develop(server, FunctionArn=arn, Unknown=1)[0] == 400


def test_a_debugger_comes_by_loopback_and_goes_with_its_developer(server: RunningServer) -> None:
    source = "export const handler = async () => 1;\n"
    client = server.client("lambda")
    client.create_function(
        FunctionName="held", Runtime="nodejs20.x", Handler="index.handler",
        Code={"ZipFile": zipped({"index.mjs": source})},
        Role="arn:aws:iam::000000000000:role/test",
    )  # fmt: skip
    client.get_waiter("function_active_v2").wait(FunctionName="held", WaiterConfig={"Delay": 0.1, "MaxAttempts": 400})
    arn = client.get_function_configuration(FunctionName="held")["FunctionArn"]
    status, said = develop(server, FunctionArn=arn, DebugPort=0, Generation=1)
    port = json.loads(said)["DebugPort"]
    assert status == 200
    inspector = Inspector(port)
    assert inspector.targets[0]["title"] == "/var/runtime/index.mjs"
    inspector.ask("Runtime.runIfWaitingForDebugger")
    assert server.invoke("held")[0] == 1
    inspector.close()
    for address in _others():
        with pytest.raises(OSError, match=r"refused|unreachable|timed out"):
            socket.create_connection((address, port), 2).close()
    assert develop(server, FunctionArn=arn, End=True)[0] == 200
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port)).close()
    assert server.invoke("held")[0] == 1


def _others() -> list[str]:
    """Addresses of this machine other than loopback."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # sends nothing: it only asks which address would
        except OSError:
            return []
        return [str(probe.getsockname()[0])]
