"""The Telemetry and Logs APIs: what may be asked for, what is told, and who cannot keep up, with real sockets."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Awaitable, Callable
from typing import Any, cast

import pytest

from paddock.interfaces import Sandbox
from paddock.wire.http1 import IncomingRequest
from paddock.wire.messages import Headers, Request, Response
from paddock.worker.subscription import BYTES, LOGS, TELEMETRY, Invalid, Subscription, parse
from paddock.worker.telemetry import BUFFERS_BYTES_MAX, Telemetry, as_logs, line_record
from tests.unit.worker.test_extensions import LAYERED, Extension, content, problem
from tests.unit.worker.world import (
    START,
    FakeClock,
    KeepingSink,
    echo,
    environment,
    event,
    invocation,
    settle,
    until,
)

URI = "http://sandbox.localdomain:8080/logs"


def run(main: Callable[[], Awaitable[None]]) -> None:
    async def whole() -> None:
        await main()

    asyncio.run(whole())


def asking(**changes: Any) -> bytes:
    asked = {"schemaVersion": "2022-12-13", "types": ["platform"], "destination": {"protocol": "HTTP", "URI": URI}}
    return json.dumps({**asked, **changes}).encode()


# -- what may be asked for ------------------------------------------------------------------------------------------


def test_defaults_and_what_is_asked_for() -> None:
    found = parse(TELEMETRY, asking())
    assert (found.bytes_max, found.items_max, found.timeout_ms) == (262_144, 10_000, 1_000)
    assert (found.protocol, found.port, found.path) == ("HTTP", 8080, "/logs")
    buffering = {"maxBytes": 300_000, "maxItems": 1_000, "timeoutMs": 25}
    destination = {"protocol": "TCP", "URI": "tcp://sandbox.localdomain:99"}
    found = parse(TELEMETRY, asking(buffering=buffering, destination=destination, types=["function", "function"]))
    assert (found.bytes_max, found.items_max, found.timeout_ms) == (300_000, 1_000, 25)
    assert (found.protocol, found.port, found.types) == ("TCP", 99, ("function",))
    found = parse(LOGS, asking(schemaVersion="2021-03-18", destination={"protocol": "TCP", "port": 7}))
    assert (found.port, found.api) == (7, LOGS)


@pytest.mark.parametrize(
    "changes",
    [
        {"schemaVersion": "2020-08-15"},
        {"types": []},
        {"types": ["everything"]},
        {"types": "platform"},
        {"types": [{}]},
        {"buffering": {"maxBytes": 262_143}},
        {"buffering": {"maxBytes": 1_048_577}},
        {"buffering": {"maxItems": 999}},
        {"buffering": {"maxItems": 10_001}},
        {"buffering": {"timeoutMs": 24}},
        {"buffering": {"timeoutMs": 30_001}},
        {"buffering": {"timeoutMs": "25"}},
        {"buffering": {"timeoutMs": True}},
        {"buffering": []},
        {"destination": None},
        {"destination": {"protocol": "UDP", "URI": URI}},
        {"destination": {"protocol": "HTTP", "URI": "http://169.254.169.254/"}},
        {"destination": {"protocol": "HTTP", "URI": "http://localhost:80/"}},
        {"destination": {"protocol": "HTTP", "URI": "tcp://sandbox.localdomain:80"}},
        {"destination": {"protocol": "HTTP", "URI": "http://sandbox.localdomain:9001/"}},
        {"destination": {"protocol": "HTTP", "URI": "http://sandbox.localdomain:99999/"}},
        {"destination": {"protocol": "HTTP", "URI": "http://sandbox.localdomain:80/a b"}},
        {"destination": {"protocol": "HTTP", "URI": "http://sandbox.localdomain:80/ü"}},
        {"destination": {"protocol": "TCP", "URI": "tcp://sandbox.localdomain"}},
        {"destination": {"protocol": "HTTP", "URI": URI, "method": "PUT"}},
        {"destination": {"protocol": "TCP", "port": 7}},
    ],
)
def test_what_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(Invalid):
        parse(TELEMETRY, asking(**changes))


def test_what_is_no_request() -> None:
    for body in (b"", b"[]", b"{", b"[" * 100_000):
        with pytest.raises(Invalid):
            parse(TELEMETRY, body)


# -- records --------------------------------------------------------------------------------------------------------


def test_a_line_is_text_or_an_object() -> None:
    assert line_record("plain\n", True) == "plain"
    assert line_record('{"level":"INFO"}\n', True) == {"level": "INFO"}
    assert line_record('{"level":"INFO"}\n', False) == '{"level":"INFO"}'
    assert line_record("{broken\n", True) == "{broken"


def test_the_logs_api_has_its_own_records() -> None:
    report = {"requestId": "r", "metrics": {"durationMs": 1}, "status": "success"}
    assert list(as_logs("platform.report", report, "2020-08-15")) == [
        ("platform.end", {"requestId": "r"}),
        ("platform.report", {"requestId": "r", "metrics": {"durationMs": 1}}),
    ]
    done = {"requestId": "r", "status": "success", "metrics": {}}
    assert list(as_logs("platform.runtimeDone", done, "2020-08-15")) == []
    told = list(as_logs("platform.runtimeDone", done, "2021-03-18"))
    assert told == [("platform.runtimeDone", {"requestId": "r", "status": "success"})]
    assert list(as_logs("platform.initStart", {}, "2021-03-18")) == []


# -- delivery -------------------------------------------------------------------------------------------------------


class Inside:
    """As much of a sandbox as deliveries need: nobody listens in it."""

    async def connect(self, port: int) -> socket.socket:
        raise ConnectionRefusedError(111, "nobody listens")


class Listener:
    """What an extension listens with. answers: one status for each batch, the last for all that follow; 0 for none."""

    def __init__(self, *answers: int, is_tcp: bool = False) -> None:
        self._answers = list(answers) or [200]
        self._is_tcp = is_tcp
        self.batches: list[list[dict[str, Any]]] = []
        self.lines: list[dict[str, Any]] = []
        self.heads: list[str] = []

    async def start(self) -> Listener:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, limit=1 << 22)
        self.port: int = self._server.sockets[0].getsockname()[1]
        return self

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._is_tcp:
            while line := await reader.readline():
                self.lines.append(json.loads(line))
            writer.close()
            return
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        self.heads.append(head)
        length = int(head.lower().partition("content-length: ")[2].split()[0])
        batch = json.loads(await reader.readexactly(length))
        status = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if status == 200:
            self.batches.append(batch)
        if status:
            writer.write(f"HTTP/1.1 {status} X\r\nContent-Length: 0\r\n\r\n".encode())
        writer.close()

    def connect(self, sandbox: Any) -> None:
        async def connect(port: int) -> socket.socket:
            return socket.create_connection(("127.0.0.1", self.port))

        sandbox.connect = connect

    @property
    def records(self) -> list[dict[str, Any]]:
        return [record for batch in self.batches for record in batch]

    def close(self) -> None:
        self._server.close()


def wanting(**changes: Any) -> Subscription:
    given: dict[str, Any] = {
        "api": TELEMETRY, "schema": "2022-12-13", "types": ("platform", "function", "extension"), "timeout_ms": 25,
        "bytes_max": BYTES[0], "items_max": 1000, "protocol": "HTTP", "port": 1, "path": "/here",
    }  # fmt: skip
    return Subscription(**{**given, **changes})


def delivered(
    act: Callable[[Telemetry, Listener], Awaitable[None]], *answers: int, is_tcp: bool = False, **wanted: Any
) -> Listener:
    listener = Listener(*answers, is_tcp=is_tcp)

    async def main() -> None:
        sandbox = Inside()
        await listener.start()
        listener.connect(sandbox)
        telemetry = Telemetry(cast(Sandbox, sandbox), FakeClock())
        telemetry.open()
        telemetry.put("platform", START, "platform.initStart", {"phase": "init"})
        telemetry.subscribe("one", wanting(**wanted))
        try:
            await act(telemetry, listener)
        finally:
            telemetry.forget()
            listener.close()
            await settle()

    run(main)
    return listener


def test_a_batch_is_posted_and_holds_what_came_before() -> None:
    async def act(telemetry: Telemetry, listener: Listener) -> None:
        telemetry.put("function", START, "function", "hello")
        telemetry.close()
        await until(lambda: listener.batches)

    found = delivered(act)
    assert found.records == [
        {"time": "2026-01-15T12:00:00.000Z", "type": "platform.initStart", "record": {"phase": "init"}},
        {"time": "2026-01-15T12:00:00.000Z", "type": "function", "record": "hello"},
    ]
    assert found.heads[0].startswith("POST /here HTTP/1.1\r\nHost: sandbox.localdomain:1\r\n")


def test_only_what_was_asked_for() -> None:
    async def act(telemetry: Telemetry, listener: Listener) -> None:
        telemetry.put("extension", START, "extension", "no")
        telemetry.put("function", START, "function", "yes")
        await until(lambda: listener.batches)

    assert [each["record"] for each in delivered(act, types=("function",)).records] == ["yes"]


def test_a_batch_is_sent_until_it_is_accepted() -> None:
    async def act(telemetry: Telemetry, listener: Listener) -> None:
        telemetry.put("function", START, "function", "hello")
        await until(lambda: listener.batches)

    assert [each["record"] for each in delivered(act, 500, 0, 200, types=("function",)).records] == ["hello"]


def test_a_full_batch_does_not_wait() -> None:
    async def act(telemetry: Telemetry, listener: Listener) -> None:
        for number in range(2500):
            telemetry.put("function", START, "function", str(number))
        await until(lambda: len(listener.batches) == 2)

    found = delivered(act, types=("function",), timeout_ms=30_000)
    assert [len(batch) for batch in found.batches] == [1000, 1000], "the rest waits for its time"
    assert [each["record"] for each in found.records] == [str(number) for number in range(2000)]


def test_lines_over_tcp() -> None:
    async def act(telemetry: Telemetry, listener: Listener) -> None:
        telemetry.put("function", START, "function", "a")
        await until(lambda: len(listener.lines) == 1)
        telemetry.put("function", START, "function", "b")
        await until(lambda: len(listener.lines) == 2)

    assert [each["record"] for each in delivered(act, is_tcp=True, protocol="TCP", types=("function",)).lines] == [
        "a",
        "b",
    ]


def test_who_cannot_keep_up_loses_records_and_is_told() -> None:
    async def act(telemetry: Telemetry, listener: Listener) -> None:
        for _ in range(1000):
            telemetry.put("function", START, "function", "x" * 1000)
        await until(lambda: listener.records and listener.records[-1]["type"] == "platform.logsDropped")

    found = delivered(act, 500, 500, 200, types=("function", "platform")).records
    lines = [each for each in found if each["type"] == "function"]
    told = found[-1]["record"]
    assert told["reason"].startswith("Some logs were dropped")
    assert told["droppedRecords"] == 1000 - len(lines)
    assert told["droppedBytes"] > told["droppedRecords"] * 1000
    assert len(lines) * 1000 <= 2 * BYTES[0], "no more was held than twice what was asked for"


def test_all_subscribers_of_an_environment_share_its_bound() -> None:
    async def main() -> None:
        telemetry = Telemetry(cast(Sandbox, Inside()), FakeClock())
        telemetry.open()
        for number in range(10):
            telemetry.subscribe(str(number), wanting(bytes_max=BYTES[1]))
        for _ in range(1000):
            telemetry.put("function", START, "function", "x" * 10_000)
        held = sum(one.bytes for one in telemetry._subscribers.values())
        assert BUFFERS_BYTES_MAX - 20_000 < held <= BUFFERS_BYTES_MAX
        telemetry.forget()
        await settle()

    run(main)


def test_nothing_is_sent_while_it_is_frozen() -> None:
    async def act(telemetry: Telemetry, listener: Listener) -> None:
        telemetry.pause()
        telemetry.put("function", START, "function", "hello")
        loop = asyncio.get_running_loop()
        later = loop.time() + 0.1
        await until(lambda: loop.time() > later)
        assert not listener.heads
        telemetry.resume()
        await until(lambda: listener.batches)

    delivered(act)


# -- in an environment ----------------------------------------------------------------------------------------------


async def subscribe(one: Extension, path: str = "/2022-07-01/telemetry", **changes: Any) -> Response:
    headers = Headers([("lambda-extension-identifier", one.identifier)])
    request = Request(method="PUT", path=path, headers=headers, body=asking(**changes))
    return await one._port.handle(IncomingRequest.of(request))


def test_from_the_start_to_the_report() -> None:
    async def main() -> None:
        listener, sink = await Listener().start(), KeepingSink()
        async with environment(echo, of=LAYERED, sink=sink) as (made, sandbox):
            listener.connect(sandbox)
            sandbox.launched = type(sandbox.launched)(names=("one",))
            starting = asyncio.ensure_future(made.start())
            await until(lambda: "launch" in sandbox.calls)
            one = Extension(made, "one")
            await until(lambda: "one" in made._extensions._all)
            unknown = Extension(made, "no")
            assert problem(await subscribe(unknown)) == (403, "Extension.MissingExtensionIdentifier")
            await one.register("INVOKE")
            assert problem(await subscribe(one, types=[])) == (400, "ValidationError")
            answer = await subscribe(one, types=["platform", "function"], buffering={"timeoutMs": 25})
            assert (answer.status, answer.body) == (200, b'"OK"')
            other = await subscribe(one, "/2020-08-15/logs", schemaVersion="2020-08-15")
            assert problem(other) == (400, "ValidationError")
            poll = asyncio.ensure_future(one.next())
            await starting
            late = await subscribe(one)
            assert problem(late) == (403, "Telemetry.NotSupported")
            await event(made, invocation(of=LAYERED))
            await poll
            await until(lambda: any(each["type"] == "platform.runtimeDone" for each in listener.records))
            assert not any(each["type"] == "platform.report" for each in listener.records)
            again = asyncio.ensure_future(one.next())
            await until(lambda: any(each["type"] == "platform.report" for each in listener.records))
            again.cancel()
            await settle()
        listener.close()
        assert [each["type"] for each in listener.records] == [
            "platform.initStart",
            "platform.telemetrySubscription",
            "platform.extension",
            "platform.initRuntimeDone",
            "platform.initReport",
            "platform.start",
            "platform.runtimeDone",
            "platform.report",
        ]
        by_type = {each["type"]: each["record"] for each in listener.records}
        told = by_type["platform.telemetrySubscription"]
        assert told == {"name": "one", "state": "Subscribed", "types": ["platform", "function"]}
        assert by_type["platform.extension"] == {"name": "one", "state": "Ready", "events": ["INVOKE"]}
        assert by_type["platform.runtimeDone"]["status"] == "success"
        assert by_type["platform.initStart"]["functionName"] == "fn"
        assert set(by_type["platform.report"]["metrics"]) >= {"durationMs", "billedDurationMs", "memorySizeMB"}
        assert "TELEMETRY\tName: one\tState: Subscribed\tTypes: [Platform, Function]\n" in sink.lines
        assert content(answer) == "OK"

    run(main)
