"""A custom runtime speaks HTTP itself and may say anything; so may whoever writes on a managed runtime's channel."""

from __future__ import annotations

import struct
from typing import Any

import pytest

from tests.security.conftest import Attacker
from tests.support.server import ROLE, RunningServer, zipped

# A runtime by hand: for every event it sends each of the given raw requests on a connection of its own, and answers
# the event with what came back for each.
BOOTSTRAP = """#!/usr/bin/env python3
import json, os, socket, urllib.request

HOST, PORT = os.environ["AWS_LAMBDA_RUNTIME_API"].split(":")
API = f"http://{HOST}:{PORT}/2018-06-01/runtime/invocation"

def raw(text):
    with socket.create_connection((HOST, int(PORT)), timeout=5) as sock:
        try:
            sock.sendall(text.encode("latin-1"))
            sock.shutdown(socket.SHUT_WR)
            return sock.recv(4096).decode("latin-1").partition("\\r\\n")[0]
        except OSError as error:
            return type(error).__name__

while True:
    with urllib.request.urlopen(API + "/next") as event:
        request_id = event.headers["Lambda-Runtime-Aws-Request-Id"]
        wanted = json.load(event)
    told = [raw(text.replace("REQUEST", request_id)) for text in wanted]
    body = json.dumps(told).encode()
    try:
        urllib.request.urlopen(f"{API}/{request_id}/response", body)
    except urllib.error.HTTPError:
        pass
"""
POST = "POST /2018-06-01/runtime/invocation/{}/{} HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{}"


@pytest.fixture(scope="module")
def custom(paddock: RunningServer) -> Any:
    client = paddock.client("lambda")
    client.create_function(
        FunctionName="custom",
        Runtime="provided.al2023",
        Handler="unused",
        Role=ROLE,
        Timeout=30,
        MemorySize=512,
        Code={"ZipFile": zipped({"bootstrap": BOOTSTRAP}, mode=0o755)},
    )
    client.get_waiter("function_active_v2").wait(
        FunctionName="custom", WaiterConfig={"Delay": 0.05, "MaxAttempts": 400}
    )

    def send(*requests: str) -> tuple[Any, dict[str, Any]]:
        return paddock.invoke("custom", requests)

    return send


def answer_to(request_id: str, body: str, kind: str = "response") -> str:
    return POST.format(request_id, kind, len(body), body)


def test_an_answer_for_another_request_is_refused(custom: Any) -> None:
    other = "00000000-0000-4000-8000-000000000000"
    refused = "HTTP/1.1 400 Bad Request"
    requests = [answer_to(other, '"x"'), answer_to(other, "{}", "error"), answer_to("..", '"x"'), answer_to("", '"x"')]
    told, answer = custom(*requests)
    assert "FunctionError" not in answer
    assert told[:2] == [refused, refused]
    assert all(status.startswith(("HTTP/1.1 400", "HTTP/1.1 404")) for status in told)


def test_the_first_answer_counts_and_the_next_event_is_clean(custom: Any) -> None:
    told, _ = custom(answer_to("REQUEST", '"first"'), answer_to("REQUEST", '"second"'))
    assert told == "first"
    told, answer = custom()
    assert told == []
    assert "FunctionError" not in answer


@pytest.mark.parametrize(
    "request_text",
    [
        "",
        "\0" * 100,
        "GET / HTTP/9.9\r\n\r\n",
        "NONSENSE\r\n\r\n",
        "GET " + "/x" * 50_000 + " HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET /2018-06-01/ping HTTP/1.1\r\n" + "X: y\r\n" * 20_000 + "\r\n",
        "POST /2018-06-01/runtime/invocation/REQUEST/response HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        "POST /2018-06-01/runtime/invocation/REQUEST/response HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nx",
        "POST /2018-06-01/runtime/init/error HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}",
        "GET /2018-06-01/../../../etc/passwd HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET /2015-03-31/functions HTTP/1.1\r\nHost: x\r\n\r\n",
        "CONNECT 127.0.0.1:22 HTTP/1.1\r\nHost: 127.0.0.1:22\r\n\r\n",
        "GET http://127.0.0.1:22/ HTTP/1.1\r\nHost: 127.0.0.1:22\r\n\r\n",
    ],
    ids=lambda text: text[:30],
)
def test_nonsense_harms_nobody(paddock: RunningServer, custom: Any, request_text: str) -> None:
    told, answer = custom(request_text)
    assert "FunctionError" not in answer
    assert not told[0].startswith("HTTP/1.1 2"), told
    assert paddock.client("lambda").get_function(FunctionName="custom")["Configuration"]["State"] == "Active"


# -- the managed runtime's channel -----------------------------------------------------------------------------------

HEADER = struct.Struct("!IBxH")


def frame(kind: str, head: bytes, body: bytes = b"", length: int | None = None, head_length: int | None = None) -> str:
    sizes = (len(head) + len(body) if length is None else length, ord(kind), len(head) if head_length is None else 0)
    header = HEADER.pack(sizes[0], sizes[1], sizes[2] if head_length is None else head_length)
    return (header + head + body).hex()


@pytest.fixture(scope="module")
def liar(paddock: RunningServer) -> Attacker:
    return Attacker(paddock, "liar", Timeout=2)


@pytest.mark.parametrize(
    "data",
    [
        frame("R", b"not JSON"),
        frame("R", b"[1,2]"),
        frame("R", b'{"id": 7}'),
        frame("Z", b"{}"),
        frame("I", b"{}"),
        frame("A", b"{}"),
        frame("R", b"", length=2, head_length=60_000),
        frame("R", b"[" * 60_000),
        "ff" * 64,
    ],
)
def test_frames_that_make_no_sense_end_only_their_own_environment(
    paddock: RunningServer, inside: Attacker, liar: Attacker, data: str
) -> None:
    payload, answer = liar.raw(("raw_channel", data))
    assert answer["FunctionError"] == "Unhandled"
    assert payload["errorType"] in {"Runtime.ExitError", "Sandbox.Timedout"}
    assert inside("pids")["done"]
    assert liar("pids")["done"]


def test_a_forged_answer_is_ones_own_answer_and_spoils_no_later_one(liar: Attacker) -> None:
    forged, answer = liar.raw(("forged_answer", "", '"forged"'))
    assert forged == "forged"
    assert "FunctionError" not in answer
    for _ in range(5):
        assert liar("forged_answer", "00000000-0000-4000-8000-000000000000", '"forged"') == {"done": "sent"}


def test_many_wishes_for_the_next_event_bring_no_more_of_them(liar: Attacker) -> None:
    assert liar("raw_channel", frame("N", b""), 1000) == {"done": 8000}
    for _ in range(5):
        assert liar("link_target", "/proc/self/exe")["done"].startswith(("/var/lang", "/usr"))


def test_an_init_failure_out_of_turn_changes_nothing(liar: Attacker) -> None:
    assert liar("raw_channel", frame("F", b'{"type": "x"}', b"{}")) == {"done": 23}
    assert liar("pids")["done"]


def test_a_closed_channel_ends_in_an_error(inside: Attacker, liar: Attacker) -> None:
    _, answer = liar.raw(("close_channel",))
    assert answer["FunctionError"] == "Unhandled"
    assert inside("pids")["done"]
    assert liar("pids")["done"]
