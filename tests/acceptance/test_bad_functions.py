"""What is wrong with a function itself: each case has AWS's answer (spec 02, 03), and leaves everybody else in peace.

Zips that are no zips are in test_bad_packages.py, bodies over their limit and broken streams in test_function_urls.py
and test_streaming.py, what breaks the Runtime API's rules also in tests/security/test_custom.py.
"""

from __future__ import annotations

import http.client
import json
import platform
import socket
import stat
import struct
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.acceptance.test_bad_packages import PACKAGES, archive
from tests.acceptance.test_custom_runtime import PRELUDE, PYTHON, create, create_from
from tests.acceptance.test_extensions import told
from tests.acceptance.test_function_urls import opened
from tests.acceptance.test_layers import publish
from tests.support.calls import refused
from tests.support.extensions import extension, layer
from tests.support.server import RunningServer

pytestmark = pytest.mark.skipif(not PYTHON.exists(), reason="the bootstraps of these tests are written in Python")

LINK = stat.S_IFLNK | 0o777
EM_X86_64, EM_AARCH64 = 62, 183
ECHO = "while True:\n    request_id, _, event = following()\n    respond(request_id, event)\n"


def foreign_program() -> bytes:
    """The start of an executable for the processor that this machine does not have; nobody reads further."""
    machine = EM_AARCH64 if platform.machine() == "x86_64" else EM_X86_64
    head = b"\x7fELF" + bytes([2, 1, 1]) + bytes(9)
    head += struct.pack("<HHIQQQIHHHHHH", 2, machine, 1, 0x400078, 64, 0, 0, 64, 56, 1, 64, 0, 0)
    return head + struct.pack("<IIQQQQQQ", 1, 5, 0, 0x400000, 0x400000, 4096, 4096, 4096) + bytes(4096)


@pytest.fixture(scope="module")
def neighbour(server: RunningServer) -> str:
    create(server, "bad-neighbour", ECHO)
    return "bad-neighbour"


@pytest.fixture(autouse=True)
def healthy(server: RunningServer, neighbour: str) -> Iterator[None]:
    """Whatever a test does, others are served as before."""
    yield
    assert server.invoke(neighbour, {"a": 1})[0] == {"a": 1}


# -- nothing to execute


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (foreign_program(), "exec format error"),
        (b"print('no interpreter is named')\n", "exec format error"),
        (b"#!/no/such/interpreter\n", "no such file or directory"),
        (b"#!/bin/sh\r\necho made on Windows\r\n", "no such file or directory"),
        (b"", "exec format error"),
    ],
    ids=["foreign", "text", "interpreter", "carriage-return", "empty"],
)
def test_a_bootstrap_that_the_kernel_refuses(
    server: RunningServer, request: pytest.FixtureRequest, content: bytes, reason: str
) -> None:
    name = f"bad-bootstrap-{request.node.callspec.id}"
    create_from(server, name, {"bootstrap": content})
    for _ in range(2):
        found, answer = server.invoke(name)
        assert answer["FunctionError"] == "Unhandled"
        request_id = answer["ResponseMetadata"]["RequestId"]
        text = f"fork/exec /var/task/bootstrap: {reason}"
        assert found == {
            "errorType": "Runtime.InvalidEntrypoint",
            "errorMessage": f"RequestId: {request_id} Error: {text}",
        }
    assert any(f"Error: {text}\nRuntime.InvalidEntrypoint" in line for line in told(server, name, "REPORT"))
    aws = server.client("lambda")
    aws.update_function_code(FunctionName=name, ZipFile=archive(("bootstrap", (PRELUDE + ECHO).encode()), mode=0o755))
    aws.get_waiter("function_updated_v2").wait(FunctionName=name, WaiterConfig={"Delay": 0.05, "MaxAttempts": 400})
    assert server.invoke(name, 1)[0] == 1


# -- layers


# Functions are tried with all of them; here the large one would only take time.
@pytest.mark.parametrize("case", sorted(PACKAGES.keys() - {"declares a bomb"}))
def test_a_layer_that_is_no_package(aws: Any, case: str) -> None:
    make, text = PACKAGES[case]
    with refused("InvalidParameterValueException", text, 400):
        aws.publish_layer_version(LayerName="bad", Content={"ZipFile": make()})
    assert not aws.list_layer_versions(LayerName="bad")["LayerVersions"]


@pytest.mark.parametrize(
    ("links", "reason"),
    [
        ({"a": "b", "b": "a"}, "too many links"),
        ({"self": "self"}, "too many links"),
        ({"lib/up": "..", "out": "lib/up/../etc/passwd"}, "leads out of the package"),
        ({"etc": "/etc"}, "is absolute"),
    ],
    ids=["two", "itself", "out", "absolute"],
)
def test_links_of_a_layer_that_lead_nowhere(aws: Any, links: dict[str, str], reason: str) -> None:
    content = archive(*[(name, target.encode()) for name, target in links.items()], mode=LINK)
    with refused("InvalidParameterValueException", f"Could not unzip uploaded file.*{reason}", 400):
        aws.publish_layer_version(LayerName="bad-links", Content={"ZipFile": content})


def test_directories_of_layers_that_link_to_themselves(server: RunningServer, aws: Any, name: str) -> None:
    """Such a circle is allowed, as on Lambda: who follows it meets the kernel's limit, nobody else does."""
    arns = []
    for number, links in enumerate(({"python/again": ".", "circle": "python"}, {"python/up": "..", "circle": "."})):
        content = archive(*[(one, target.encode()) for one, target in links.items()], mode=LINK)
        made = aws.publish_layer_version(LayerName=f"circles-{number}", Content={"ZipFile": content})
        arns.append(made["LayerVersionArn"])
    source = """
import errno, os
def handler(event, context):
    try:
        os.stat("/opt/python" + "/again" * 60)
    except OSError as error:
        return [errno.errorcode[error.errno], os.readlink("/opt/circle"), sorted(os.listdir("/opt/circle/python/up"))]
"""
    server.create(name, source, Layers=[publish(aws, {"python/lib.py": "X = 1"}, 0o755), *arns])
    assert server.invoke(name)[0] == ["ELOOP", ".", ["circle", "python"]]


# -- extensions (those that never start, or never register, are in test_extensions.py)


def test_an_extension_that_ends_in_the_middle_of_an_event(server: RunningServer, name: str) -> None:
    """By what it does when it has been told of one: the error of that event. For the next it is started again."""
    cases = {
        "leaves": ("sys.exit(5)", "Extension.Crash", "exit code 5"),
        "is killed": ("os.kill(os.getpid(), 9)", "Extension.Crash", "signal: killed"),
        "gives up": (
            "call('POST', '/2020-01-01/extension/exit/error', '{}',"
            " {'Lambda-Extension-Function-Error-Type': 'Extension.NoMore'})\nsys.exit(1)",
            "Extension.ExitError",
            "exit code 1",
        ),
    }
    wait = "import time\ndef handler(event, context):\n    time.sleep(event)\n    return 'fine'\n"
    for number, (body, error_type, message) in enumerate(cases.values()):
        own = f"{name}-{number}"
        arn = layer(server, {"failing": extension(f"register('INVOKE')\nfollowing()\n{body}\n")})
        server.create(own, wait, Layers=[arn], Timeout=20)
        for _ in range(2):
            payload, answer = server.invoke(own, 15)
            assert answer["FunctionError"] == "Unhandled"
            assert payload["errorType"] == error_type
            assert payload["errorMessage"].endswith(f"Error: {message}")


# -- a runtime that breaks the Runtime API's rules

HALF = """
import socket
def half(head, body):
    address = os.environ["AWS_LAMBDA_RUNTIME_API"].split(":")
    one = socket.create_connection((address[0], int(address[1])))
    one.sendall((f"POST /2018-06-01/runtime/invocation/{request_id}/response HTTP/1.1\\r\\nHost: x\\r\\n"
        + head + "\\r\\n\\r\\n").encode() + body)
    return one
while True:
    request_id, _, event = following()
    if event["do"] == "echo":
        respond(request_id, event)
        continue
    one = half(event["head"], event["body"].encode())
    if event["do"] == "stay":
        while True:
            time.sleep(60)
    if event["do"] == "read":
        respond(request_id, one.recv(100).decode().partition("\\r\\n")[0])
    if event["do"] == "close":
        one.close()
        respond(request_id, "after all")
"""


@pytest.fixture(scope="module")
def halves(server: RunningServer) -> str:
    create(server, "bad-halves", HALF, Timeout=1)
    return "bad-halves"


CHUNKED = "Transfer-Encoding: chunked"
STREAMING = f"Lambda-Runtime-Function-Response-Mode: streaming\r\n{CHUNKED}"


@pytest.mark.parametrize(
    ("head", "body"),
    [(CHUNKED, "5\r\nhello\r\n"), ("Content-Length: 100", "hello"), (STREAMING, "5\r\nhello\r\n"), (CHUNKED, "")],
    ids=["chunks", "length", "stream", "nothing"],
)
def test_an_answer_without_an_end_times_out(server: RunningServer, halves: str, head: str, body: str) -> None:
    found, answer = server.invoke(halves, {"do": "stay", "head": head, "body": body})
    assert answer["FunctionError"] == "Unhandled"
    assert found["errorType"] == "Sandbox.Timedout"
    assert server.invoke(halves, {"do": "echo"})[0] == {"do": "echo"}


@pytest.mark.parametrize(
    ("head", "body"),
    [(CHUNKED, "xyz\r\nhello\r\n"), (CHUNKED, "-5\r\nhello\r\n"), ("Content-Length: none", "hello")],
    ids=["no-size", "negative", "no-length"],
)
def test_an_answer_that_makes_no_sense_is_refused(server: RunningServer, halves: str, head: str, body: str) -> None:
    found, answer = server.invoke(halves, {"do": "read", "head": head, "body": body})
    assert "FunctionError" not in answer
    assert found.startswith("HTTP/1.1 400")


def test_an_answer_that_breaks_off_may_be_given_again(server: RunningServer, halves: str) -> None:
    found, answer = server.invoke(halves, {"do": "close", "head": "Content-Length: 100", "body": "hello"})
    assert "FunctionError" not in answer
    assert found == "after all"


# -- clients of a URL who take their time


def test_slow_clients_of_a_url_hold_nobody_up(server: RunningServer, name: str) -> None:
    """Each has sent a part of its request, or reads nothing of its answer; the URL answers others all the while."""
    server.create(name, "def handler(event, context):\n    return 'x' * 5_000_000\n", MemorySize=512)
    visitor = opened(server, name)
    host, address = urlsplit(visitor.url).netloc, urlsplit(server.endpoint)
    heads = [
        f"GET / HTTP/1.1\r\nHost: {host}\r\n",
        f"POST / HTTP/1.1\r\nHost: {host}\r\nContent-Length: 1000\r\n\r\n{{",
        f"POST / HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
        f"GET / HTTP/1.1\r\nHost: {host}\r\n\r\n",
    ]
    slow = []
    try:
        for head in heads * 8:
            sock = socket.create_connection((address.hostname or "", address.port or 0), timeout=60)
            sock.sendall(head.encode())
            slow.append(sock)
        for _ in range(3):
            status, _, body = visitor("GET")
            assert (status, len(body)) == (200, 5_000_000)
        slow[1].sendall(json.dumps({"rest": "x" * 983})[1:].encode().ljust(999))
        answer = http.client.HTTPResponse(slow[1])
        answer.begin()
        assert (answer.status, len(answer.read())) == (200, 5_000_000)
    finally:
        for sock in slow:
            sock.close()
