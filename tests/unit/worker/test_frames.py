"""Frames on a socket: whatever the other side sends, however it is cut."""

from __future__ import annotations

import asyncio
import json
import os
import random
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paddock.invoke.streaming import HELD_BYTES_MAX, ResponseStream
from paddock.worker.frames import RESPONSE_BYTES_MAX, FramePort, encode
from paddock.worker.runtimes.python.bootstrap import (
    ASSIGN,
    BEGIN,
    CHUNK,
    ERROR,
    FAILED,
    HEADER,
    INVOKE,
    NEXT,
    RESPONSE,
    Channel,
)
from tests.unit.worker.world import invocation


@dataclass
class Events:
    """What a FramePort told, in order."""

    told: list[tuple[Any, ...]] = field(default_factory=list)
    stream: ResponseStream | None = None

    def asked_next(self) -> None:
        self.told.append(("next",))

    def answered(self, request_id: str, body: bytes) -> None:
        self.told.append(("answered", request_id, body))

    def erred(self, request_id: str, body: bytes) -> None:
        self.told.append(("erred", request_id, body))

    def oversized(self, request_id: str, limit_bytes: int = RESPONSE_BYTES_MAX) -> None:
        self.told.append(("oversized", request_id))

    def sink_for(self, request_id: str) -> ResponseStream | None:
        return self.stream if request_id == "streamed" else None

    def init_failed(self, body: bytes, error_type: str) -> None:
        self.told.append(("init_failed", body, error_type))

    def nonsense(self, what: str) -> None:
        self.told.append(("nonsense", what))


class Wire(asyncio.Transport):
    """A transport that keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.sent = bytearray()
        self.aborted = False
        self.is_read = True

    def pause_reading(self) -> None:
        self.is_read = False

    def resume_reading(self) -> None:
        self.is_read = True

    def write(self, data: Any) -> None:
        self.sent += data

    def is_closing(self) -> bool:
        return self.aborted

    def abort(self) -> None:
        self.aborted = True


def connected() -> tuple[FramePort, Events, Wire]:
    events, wire = Events(), Wire()
    port = FramePort(events)
    port.connection_made(wire)
    port.connected()
    return port, events, wire


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
FRAMES = st.one_of(
    st.just(("next",)),
    st.tuples(st.just("answered"), TEXTS, st.binary(max_size=300)),
    st.tuples(st.just("erred"), TEXTS, st.binary(max_size=300)),
    st.tuples(st.just("init_failed"), st.binary(max_size=300), TEXTS),
)


def as_bytes(event: tuple[Any, ...]) -> bytes:
    match event:
        case ("answered", request_id, body):
            return encode(RESPONSE, json.dumps({"id": request_id, "type": "application/json"}).encode(), body)
        case ("erred", request_id, body):
            return encode(ERROR, json.dumps({"id": request_id, "cause": ""}).encode(), body)
        case ("init_failed", body, error_type):
            return encode(FAILED, json.dumps({"type": error_type}).encode(), body)
    return encode(NEXT, b"", b"")


@given(st.lists(FRAMES, max_size=8), st.lists(st.integers(1, 60), min_size=1, max_size=20))
def test_frames_come_out_as_they_went_in_however_they_are_cut(events: list[tuple[Any, ...]], cuts: list[int]) -> None:
    data = b"".join(map(as_bytes, events))
    port, seen, wire = connected()
    at = turn = 0
    while at < len(data):
        size = cuts[turn % len(cuts)]
        port.data_received(data[at : at + size])
        at, turn = at + size, turn + 1
    assert seen.told == events
    assert not wire.aborted


def test_byte_by_byte_and_all_at_once() -> None:
    events = [("next",), ("answered", "1", b"one"), ("next",), ("erred", "2", b"{}"), ("init_failed", b"x", "T")]
    data = b"".join(map(as_bytes, events))
    for pieces in ([data[i : i + 1] for i in range(len(data))], [data]):
        port, seen, _ = connected()
        for piece in pieces:
            port.data_received(piece)
        assert seen.told == events


@pytest.mark.parametrize("piece_bytes", [65536, 1 << 20, 1 << 30])
@pytest.mark.parametrize("excess", [1, 500_000])
def test_an_oversized_answer_is_swallowed_told_once_and_the_next_frame_read(piece_bytes: int, excess: int) -> None:
    big = encode(RESPONSE, b'{"id":"big"}', bytes(RESPONSE_BYTES_MAX + excess))
    data = big + encode(NEXT, b"", b"") + encode(RESPONSE, b'{"id":"next"}', b"fine")
    port, seen, wire = connected()
    most = 0
    for at in range(0, len(data), piece_bytes):
        port.data_received(data[at : at + piece_bytes])
        most = max(most, len(port._buffer))
    assert seen.told == [("oversized", "big"), ("next",), ("answered", "next", b"fine")]
    assert not wire.aborted
    assert most < 1024, "what is too large must not be kept"


def test_the_largest_allowed_answer_arrives() -> None:
    port, seen, _ = connected()
    body = bytes(RESPONSE_BYTES_MAX)
    port.data_received(encode(RESPONSE, b'{"id":"1"}', body))
    assert seen.told == [("answered", "1", body)]


def test_oversized_is_told_before_the_body_has_come() -> None:
    port, seen, _ = connected()
    port.data_received(HEADER.pack(0xFFFFFFFF, RESPONSE, 12) + b'{"id":"big"')
    assert seen.told == []
    port.data_received(b"}")
    assert seen.told == [("oversized", "big")]


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (HEADER.pack(5, RESPONSE, 6) + b"x" * 6, "a head longer than its frame"),
        (HEADER.pack(0, RESPONSE, 65535), "a head longer than its frame"),
        (encode(RESPONSE, b"{", b"x"), "an unreadable head"),
        (encode(RESPONSE, b"[]", b"x"), "an unreadable head"),
        (encode(RESPONSE, b'{"id":1}', b"x"), "an unreadable head"),
        (encode(RESPONSE, b"\xff\xfe", b""), "an unreadable head"),
        (encode(ASSIGN, b"", b"{}"), f"a frame of kind {ASSIGN}"),
        (encode(INVOKE, b'{"id":"1"}', b"{}"), f"a frame of kind {INVOKE}"),
        (encode(0, b"", b""), "a frame of kind 0"),
        (HEADER.pack(0xFFFFFFFF, RESPONSE, 2) + b"no", "an unreadable head"),
    ],
)
def test_nonsense_ends_the_connection_and_is_told_once(data: bytes, what: str) -> None:
    port, seen, wire = connected()
    port.data_received(data + encode(NEXT, b"", b""))
    assert seen.told == [("nonsense", what)]
    assert wire.aborted


def test_after_nonsense_nothing_is_sent_any_more() -> None:
    port, _, wire = connected()
    port.data_received(encode(0, b"", b""))
    port.assign({})
    port.invoke(invocation(), 1)
    assert not wire.sent


@settings(max_examples=200)
@given(st.binary(max_size=400))
def test_no_bytes_make_it_raise(data: bytes) -> None:
    port, seen, _ = connected()
    port.data_received(data)
    assert len([event for event in seen.told if event[0] == "nonsense"]) <= 1


def test_unknown_members_of_a_head_are_no_harm() -> None:
    port, seen, _ = connected()
    port.data_received(encode(RESPONSE, b'{"id":"1","new":[1,{"x":null}]}', b""))
    assert seen.told == [("answered", "1", b"")]


def test_an_unconnected_or_closed_port_is_silent() -> None:
    port = FramePort(Events())
    port.assign({"handler": "x"})
    port.close()
    port, _, wire = connected()
    port.close()
    port.close()
    port.assign({})
    assert wire.aborted
    assert not wire.sent


def test_a_port_closed_while_it_is_being_connected_ends_its_transport_once_that_is_complete() -> None:
    events, wire = Events(), Wire()
    port = FramePort(events)
    port.connection_made(wire)
    port.close()
    port.assign({})
    port.data_received(encode(NEXT, b"", b""))
    assert not wire.aborted
    port.connected()
    assert wire.aborted
    assert not wire.sent
    assert not events.told


# -- the other half, over a real socket -----------------------------------------------------------------------------


@pytest.fixture
def pair() -> Any:
    ours, theirs = socket.socketpair()
    yield ours, theirs
    ours.close()
    theirs.close()


def in_thread(work: Callable[[], Any]) -> Any:
    """The blocking half in a thread; its result once the returned callable is called."""
    results: list[Any] = []
    thread = threading.Thread(target=lambda: results.append(work()))
    thread.start()

    def result() -> Any:
        thread.join(20)
        assert results, "the thread has not ended"
        return results[0]

    return result


def test_what_the_server_sends_the_channel_receives(pair: Any) -> None:
    ours, theirs = pair
    channel = Channel(theirs)

    async def main() -> None:
        loop = asyncio.get_running_loop()
        port = FramePort(Events())
        ours.setblocking(False)
        await loop.create_unix_connection(lambda: port, sock=ours)
        port.connected()
        payload = os.urandom(3_000_000)
        event = invocation(payload=payload, trace_id="Root=1", client_context='{"a":1}')
        received = in_thread(lambda: [channel.receive() for _ in range(3)])
        port.assign({"environment": {"A": "ä"}, "handler": "m.f"})
        port.invoke(event, 123)
        port.invoke(invocation("r-2"), 456)
        first, second, third = await asyncio.to_thread(received)
        assert first == (
            ASSIGN,
            b"",
            json.dumps(
                {"environment": {"A": "ä"}, "handler": "m.f"}, ensure_ascii=False, separators=(",", ":")
            ).encode(),
        )
        assert second[0] == INVOKE
        assert json.loads(second[1]) == {
            "id": event.request_id,
            "arn": event.invoked_arn,
            "deadline_ms": 123,
            "trace": "Root=1",
            "client_context": '{"a":1}',
        }
        assert second[2] == payload
        assert json.loads(third[1]) == {"id": "r-2", "arn": event.invoked_arn, "deadline_ms": 456}
        port.close()

    asyncio.run(main())


def test_what_the_channel_sends_the_server_receives(pair: Any) -> None:
    ours, theirs = pair
    channel = Channel(theirs)
    body = random.Random(7).randbytes(2_000_000)

    def send() -> bool:
        channel.send(NEXT)
        channel.send(RESPONSE, b'{"id":"1"}', body, then_next=True)
        channel.send(RESPONSE, b'{"id":"2"}', bytes(RESPONSE_BYTES_MAX + 1), then_next=True)
        channel.send(FAILED, b'{"type":"T"}', b"why")
        return True

    async def main() -> None:
        loop = asyncio.get_running_loop()
        events, last = Events(), asyncio.Event()
        events.init_failed = lambda body, error_type: last.set()  # type: ignore[method-assign]
        port = FramePort(events)
        ours.setblocking(False)
        await loop.create_unix_connection(lambda: port, sock=ours)
        port.connected()
        done = in_thread(send)
        async with asyncio.timeout(20):
            await last.wait()
        assert await asyncio.to_thread(done)
        assert events.told == [("next",), ("answered", "1", body), ("next",), ("oversized", "2"), ("next",)]
        port.close()

    asyncio.run(main())


def test_a_streamed_answer_is_handed_on_and_waits_for_its_reader() -> None:
    async def main() -> None:
        port, events, wire = connected()
        events.stream = stream = ResponseStream(1 << 30)
        head = b'{"id":"streamed","type":"text/plain"}'
        port.data_received(encode(BEGIN, head, b"") + encode(CHUNK, head, b"one"))
        assert (stream.content_type, await stream.next_piece()) == ("text/plain", b"one")
        port.data_received(encode(CHUNK, b'{"id":"another"}', b"of an event that is over"))
        port.data_received(encode(CHUNK, head, bytes(HELD_BYTES_MAX)))
        assert not wire.is_read
        await asyncio.sleep(0)
        assert not wire.is_read
        assert len(await stream.next_piece()) == HELD_BYTES_MAX
        for _ in range(3):
            await asyncio.sleep(0)
        assert wire.is_read
        port.data_received(encode(CHUNK, head, bytes(HELD_BYTES_MAX)))
        port.close()  # nobody reads any more, and nobody waits
        await asyncio.sleep(0)
        assert [task for task in asyncio.all_tasks() if task is not asyncio.current_task()] == []

    asyncio.run(main())


def test_a_streamed_answer_over_its_limit() -> None:
    port, events, _ = connected()
    events.stream = ResponseStream(10)
    port.data_received(encode(CHUNK, b'{"id":"streamed"}', bytes(11)))
    assert events.told == [("oversized", "streamed")]
