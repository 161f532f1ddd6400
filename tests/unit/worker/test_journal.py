"""One environment's log stream, through real pipes."""

from __future__ import annotations

import asyncio
import json
import os
import struct
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from paddock.model.function import LoggingConfig
from paddock.observe.invocation_log import InitPhase, Measured
from paddock.worker import failures
from paddock.worker.journal import Journal
from tests.unit.worker.world import START, FakeClock, KeepingSink, settle, until, version

NOW_MS = int(START.timestamp() * 1000)
TEXT_INFO = 0xA55A0003 + (3 << 2)
JSON_DEBUG = 0xA55A0002 + (2 << 2)
DONE = Measured(duration_ms=1.5, billed_ms=2, memory_mb=128, memory_used_mb=30)


def framed(message: str, timestamp_us: int = NOW_MS * 1000, kind: int = TEXT_INFO) -> bytes:
    data = message.encode()
    return struct.pack(">IIQ", kind, len(data), timestamp_us) + data


class Desk:
    """A journal, the function's ends of its pipes, and what came of it."""

    def __init__(self, **changes: Any) -> None:
        self.clock, self.sink = FakeClock(), KeepingSink()
        self.output, self.stdout = os.pipe()
        self.telemetry, self.records = os.pipe()
        self.journal = Journal(
            version(**changes),
            output=self.output,
            telemetry=self.telemetry,
            sink=self.sink,
            clock=self.clock,
            stream_id="ab" * 16,
            runtime_label="python:3.12.1",
            runtime_arn="arn:r",
        )

    def prints(self, text: str | bytes) -> None:
        os.write(self.stdout, text.encode() if isinstance(text, str) else text)

    def close(self) -> None:
        self.journal.close()
        for fd in (self.stdout, self.records):
            os.close(fd)

    @property
    def lines(self) -> list[str]:
        return self.sink.lines


def played(act: Callable[[Desk], Awaitable[None]], **changes: Any) -> Desk:
    async def main() -> Desk:
        desk = Desk(**changes)
        await act(desk)
        desk.close()
        return desk

    return asyncio.run(main())


def test_what_was_printed_before_the_answer_stands_before_the_end() -> None:
    async def act(desk: Desk) -> None:
        desk.journal.init_start()
        desk.prints("loading\n")
        desk.journal.init_done(InitPhase(duration_ms=100))
        desk.journal.begin("r-1", "arn", False)
        desk.prints("one\ntwo\rstill two\n")  # nobody has read yet: finish has to
        desk.journal.finish("r-1", DONE, None)

    lines = played(act).lines
    assert lines[0] == "INIT_START Runtime Version: python:3.12.1\tRuntime Version ARN: arn:r\n"
    assert lines[1:5] == ["loading\n", "START RequestId: r-1 Version: $LATEST\n", "one\n", "two\rstill two\n"]
    assert lines[5] == "END RequestId: r-1\n"
    assert lines[6].startswith("REPORT RequestId: r-1\tDuration: 1.50 ms\tBilled Duration: 2 ms\t")
    assert len(lines) == 7


def test_output_is_read_as_it_comes() -> None:
    async def act(desk: Desk) -> None:
        desk.journal.begin("r-1", "arn", False)
        desk.prints("alive\n")
        await until(lambda: "alive\n" in desk.lines)

    played(act)


def test_a_line_without_end_is_flushed_at_the_end() -> None:
    async def act(desk: Desk) -> None:
        desk.journal.begin("r-1", "arn", False)
        desk.prints("half")
        await settle()
        desk.prints(" a line")
        desk.journal.finish("r-1", DONE, None)

    lines = played(act).lines
    assert lines[1:3] == ["half a line", "END RequestId: r-1\n"]


def test_more_than_one_read_is_drained() -> None:
    async def act(desk: Desk) -> None:
        desk.journal.begin("r-1", "arn", False)
        desk.prints(b"x" * 29_999 + b"\n")
        desk.prints(b"y" * 29_999 + b"\n")
        desk.journal.finish("r-1", DONE, None)

    lines = played(act).lines
    assert [len(line) for line in lines[1:3]] == [30_000, 30_000]
    assert lines[3].startswith("END ")


def test_a_function_that_never_stops_writing_does_not_hold_its_answer_up() -> None:
    async def act(desk: Desk) -> None:
        read_once = desk.journal._read_once

        def refilled(fd: int) -> bool:
            if fd == desk.output:
                desk.prints("more\n")
            return read_once(fd)

        desk.journal._read_once = refilled  # type: ignore[method-assign]
        desk.journal.begin("r-1", "arn", False)
        desk.journal.finish("r-1", DONE, None)
        desk.journal._read_once = read_once  # type: ignore[method-assign]

    assert [line for line in played(act).lines if line.startswith("END")]


@pytest.mark.parametrize(
    ("timestamp_us", "kept_ms"),
    [
        (NOW_MS * 1000 + 999, NOW_MS),
        ((NOW_MS - 3_600_000) * 1000, NOW_MS - 3_600_000),
        ((NOW_MS - 3_600_001) * 1000, NOW_MS),
        ((NOW_MS + 3_600_001) * 1000, NOW_MS),
        (0, NOW_MS),
        (2**64 - 1, NOW_MS),
    ],
)
def test_the_functions_word_for_the_time_is_taken_within_an_hour(timestamp_us: int, kept_ms: int) -> None:
    async def act(desk: Desk) -> None:
        os.write(desk.records, framed("hello\nworld", timestamp_us))
        await until(lambda: desk.lines)

    desk = played(act)
    assert [(event.timestamp_ms, event.message) for _, event in desk.sink.events] == [(kept_ms, "hello\nworld")]


def test_noise_among_frames_is_dropped() -> None:
    async def act(desk: Desk) -> None:
        os.write(desk.records, b"noise" * 10 + framed("kept") + b"\xa5\x5a")
        await until(lambda: desk.lines)

    assert played(act).lines == ["kept"]


@pytest.mark.parametrize(
    ("level", "kept"), [("", ["i", "e"]), ("DEBUG", ["d", "i", "e"]), ("ERROR", ["e"]), ("FATAL", [])]
)
def test_json_functions_filter_their_own_lines(level: str, kept: list[str]) -> None:
    async def act(desk: Desk) -> None:
        desk.prints(
            '{"level":"DEBUG","message":"d"}\n{"level":"INFO","message":"i"}\n{"level":"error","message":"e"}\n'
        )
        await settle()
        os.write(desk.records, framed('{"message":"framed"}', kind=JSON_DEBUG))
        await settle()

    logging = LoggingConfig(format="JSON", application_level=level)
    messages = [json.loads(line)["message"] for line in played(act, logging=logging).lines]
    assert [message for message in messages if message != "framed"] == kept
    assert ("framed" in messages) == (level == "DEBUG")


def test_text_functions_keep_everything() -> None:
    async def act(desk: Desk) -> None:
        desk.prints('{"level":"DEBUG"}\nplain\n')

    assert played(act).lines == ['{"level":"DEBUG"}\n', "plain\n"]


@pytest.mark.parametrize(
    ("level", "types"),
    [
        ("", ["platform.initStart", "platform.start", "platform.report"]),
        ("WARN", []),
        (
            "DEBUG",
            [
                "platform.initStart",
                "platform.initRuntimeDone",
                "platform.initReport",
                "platform.start",
                "platform.runtimeDone",
                "platform.report",
            ],
        ),
    ],
)
def test_json_functions_get_records_by_level(level: str, types: list[str]) -> None:
    async def act(desk: Desk) -> None:
        desk.journal.init_start()
        desk.journal.init_done(InitPhase(duration_ms=1.0))
        desk.journal.begin("r-1", "arn:invoked", False)
        desk.journal.runtime_done("r-1", DONE, 17)
        desk.journal.finish("r-1", DONE, None)

    lines = played(act, logging=LoggingConfig(format="JSON", system_level=level)).lines
    records = [json.loads(line) for line in lines]
    assert [record["type"] for record in records] == types
    if level == "DEBUG":
        assert records[4]["record"]["metrics"]["producedBytes"] == 17


def test_failures_of_a_json_function_pass_warn() -> None:
    async def act(desk: Desk) -> None:
        init = InitPhase(duration_ms=1.0, status="error", error_type="Runtime.ExitError")
        desk.journal.init_failed(init, failures.exited("", 256, False))
        failed = Measured(duration_ms=1, billed_ms=1, memory_mb=1, memory_used_mb=1, status="timeout")
        desk.journal.runtime_done("r-1", failed, 0)
        desk.journal.finish("r-1", failed, failures.timed_out("r-1", 3))

    lines = played(act, logging=LoggingConfig(format="JSON", system_level="WARN")).lines
    found = [(json.loads(line)["type"], json.loads(line)["record"]["status"]) for line in lines]
    assert found == [
        ("platform.initRuntimeDone", "error"),
        ("platform.initReport", "error"),
        ("platform.runtimeDone", "timeout"),
        ("platform.report", "timeout"),
    ]


def test_the_lines_of_failures() -> None:
    async def act(desk: Desk) -> None:
        init = InitPhase(duration_ms=2.0, status="error", error_type="Runtime.ExitError")
        desk.prints("partial")
        desk.journal.init_failed(init, failures.exited("", 256, False))
        desk.journal.finish("r-1", DONE, failures.timed_out("r-1", 3))
        desk.journal.finish("r-2", DONE, failures.exited("r-2", 0, False))
        desk.journal.finish("r-3", DONE, failures.oversized(10))

    lines = played(act).lines
    assert lines[0] == "partial"
    assert lines[1] == "RequestId:  Error: Runtime exited with error: exit status 1\nRuntime.ExitError\n"
    assert lines[2].startswith("INIT_REPORT Init Duration: 2.00 ms\tPhase: init\tStatus: error\tError Type: Runtime.")
    assert lines[3] == "2026-01-15T12:00:00.000Z r-1 Task timed out after 3.00 seconds\n\n"
    assert lines[4] == "END RequestId: r-1\n"
    assert lines[6] == "RequestId: r-2 Error: Runtime exited without providing a reason\nRuntime.ExitError\n"
    assert lines[9] == "END RequestId: r-3\n", "an answer too large has no line of its own"


def test_the_tail_is_the_last_4096_bytes_from_start_on() -> None:
    tails: list[bytes] = []

    async def act(desk: Desk) -> None:
        desk.prints("before\n")
        await settle()
        desk.journal.begin("r-1", "arn", True)
        desk.prints("inside\n")
        tails.append(desk.journal.finish("r-1", DONE, None))
        desk.journal.begin("r-2", "arn", True)
        desk.prints("é" * 4000 + "\n")
        tails.append(desk.journal.finish("r-2", DONE, None))
        desk.journal.begin("r-3", "arn", False)
        tails.append(desk.journal.finish("r-3", DONE, None))

    played(act)
    assert tails[0].startswith(b"START RequestId: r-1 ")
    assert b"inside\nEND RequestId: r-1\nREPORT" in tails[0]
    assert len(tails[1]) == 4096
    assert b"REPORT RequestId: r-2" in tails[1]
    assert tails[2] == b""


def test_close_reads_what_is_left_and_may_be_repeated() -> None:
    async def act(desk: Desk) -> None:
        desk.prints("last words")
        os.write(desk.records, framed("framed"))
        desk.journal.close()
        before = set(os.listdir("/proc/self/fd"))
        desk.journal.close()
        assert set(os.listdir("/proc/self/fd")) == before
        for fd in (desk.output, desk.telemetry):
            with pytest.raises(OSError, match="Bad file descriptor"):
                os.fstat(fd)

    assert sorted(played(act).lines) == ["framed", "last words"]


def test_the_end_of_a_pipe_is_no_error_and_the_platform_may_still_speak() -> None:
    async def act(desk: Desk) -> None:
        desk.prints("bye")
        os.close(desk.stdout)
        desk.stdout = os.open(os.devnull, os.O_WRONLY)
        await until(lambda: desk.output not in desk.journal._pipes)
        desk.journal.finish("r-1", DONE, None)

    assert played(act).lines[:2] == ["bye", "END RequestId: r-1\n"]


def test_the_streams_name() -> None:
    async def act(desk: Desk) -> None:
        desk.journal.begin("r-1", "arn", False)

    own = played(act)
    assert own.journal.stream == f"2026/01/15/[$LATEST]{'ab' * 16}"
    ref = own.sink.events[0][0]
    assert (ref.account, ref.region, ref.group) == ("000000000000", "us-east-1", "/aws/lambda/fn")
    shared = played(act, logging=LoggingConfig(group="/shared"))
    assert shared.journal.stream == f"2026/01/15/fn[$LATEST]{'ab' * 16}"
    assert shared.sink.events[0][0].group == "/shared"
