"""An extension is a process of its own: it can reach what the function can, and nothing more."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from tests.support.server import RunningServer, zipped

PYTHON = "/usr/bin/python3"

# What a process can tell of its confinement. The extension leaves its answer in /tmp for the function to compare.
LOOK = """
import ctypes, json, os, socket, sys, time

DESCRIPTORS = [fd for fd in range(100) if os.path.exists(f"/proc/self/fd/{fd}")]

def tried(act):
    try:
        return "done: " + repr(act())[:200]
    except Exception as error:
        return type(error).__name__

def look():
    status = dict(line.split(":", 1) for line in open("/proc/self/status").read().splitlines())
    libc = ctypes.CDLL(None, use_errno=True)
    here = sorted(int(name) for name in os.listdir("/proc") if name.isdigit())
    return {
        "status": {name: status[name].split() for name in ("Uid", "Gid", "Groups", "CapEff", "CapPrm", "CapBnd",
                   "NoNewPrivs", "Seccomp")},
        "namespaces": {name: os.readlink("/proc/self/ns/" + name) for name in sorted(os.listdir("/proc/self/ns"))},
        "descriptors": DESCRIPTORS,
        "limits": open("/proc/self/limits").read(),
        "score": open("/proc/self/oom_score_adj").read(),
        "sees pid 1": 1 in here,
        "init": [tried(lambda: os.listdir("/proc/1/fd")), tried(lambda: open("/proc/1/environ").read())],
        "ptrace": [libc.ptrace(16, 1, 0, 0), libc.ptrace(0, 0, 0, 0)],
        "unshare": libc.unshare(0x10000000),
        "mount": libc.mount(b"none", b"/tmp", b"tmpfs", 0, None),
        "files": [tried(lambda path=path: open(path, "w")) for path in
                  ("/opt/x", "/var/task/x", "/usr/x", "/opt/extensions/look", "/x")],
        "host": [tried(lambda path=path: os.listdir(path)) for path in ("/mnt", "/root", "/home", "/sys")],
        "packets": tried(lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW)),
    }
"""
EXTENSION = f"""#!{PYTHON}
{LOOK}
import http.client
api = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])
api.request("POST", "/2020-01-01/extension/register", '{{"events":["INVOKE"]}}', {{"Lambda-Extension-Name": "look"}})
answer = api.getresponse()
answer.read()
identifier = answer.headers["Lambda-Extension-Identifier"]
with open("/tmp/look", "w") as file:
    json.dump(look(), file)
while True:
    api.request("GET", "/2020-01-01/extension/event/next", headers={{"Lambda-Extension-Identifier": identifier}})
    api.getresponse().read()
"""
SOURCE = (
    LOOK
    + """
def handler(event, context):
    return {"extension": json.load(open("/tmp/look")), "function": look()}
"""
)


@pytest.fixture(scope="module")
def found(paddock: RunningServer) -> Any:
    made = paddock.client("lambda").publish_layer_version(
        LayerName=f"l-{uuid.uuid4().hex[:8]}", Content={"ZipFile": zipped({"extensions/look": EXTENSION}, 0o755)}
    )
    paddock.create("looks", SOURCE, Layers=[made["LayerVersionArn"]], MemorySize=1769)
    answer, whole = paddock.invoke("looks")
    assert "FunctionError" not in whole, answer
    return answer


def test_it_is_confined_as_the_function_is(found: Any) -> None:
    extension, function = found["extension"], found["function"]
    assert extension["status"] == function["status"]
    assert extension["status"]["CapEff"] == ["0000000000000000"]
    assert extension["status"]["NoNewPrivs"] == ["1"]
    assert extension["status"]["Seccomp"] == ["2"]
    assert extension["namespaces"] == function["namespaces"]
    assert extension["limits"] == function["limits"]
    assert extension["score"] == function["score"] == "0\n"


def test_it_holds_no_descriptor_but_its_output(found: Any) -> None:
    assert found["extension"]["descriptors"] == [0, 1, 2], "of the function's, for one, none"


def test_what_it_tries_fails(found: Any) -> None:
    extension = found["extension"]
    assert not extension["sees pid 1"]
    assert not [each for each in [*extension["init"], *extension["files"], extension["packets"]] if "done" in each]
    assert extension["ptrace"] == [-1, -1]
    assert (extension["unshare"], extension["mount"]) == (-1, -1)
    assert [each for each in extension["host"] if each.startswith("done")] in ([], ["done: []"]), extension["host"]
    assert extension["host"] == found["function"]["host"]
