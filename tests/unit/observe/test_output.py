"""Frames and lines, whatever the pieces in which the bytes come."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paddock.observe.output import FRAME_HEADER, Framed, FrameReader, LineReader, split_text


def frame(kind: int, message: bytes, at_us: int = 5) -> bytes:
    return FRAME_HEADER.pack(kind, len(message), at_us) + message


@pytest.mark.parametrize(
    ("kind", "level", "is_json"),
    [
        (0xA55A0003, "", False), (0xA55A000B, "DEBUG", False), (0xA55A000F, "INFO", False),
        (0xA55A0013, "WARN", False), (0xA55A0017, "ERROR", False), (0xA55A001B, "FATAL", False),
        (0xA55A0002, "", True), (0xA55A000A, "DEBUG", True), (0xA55A000E, "INFO", True),
        (0xA55A0012, "WARN", True), (0xA55A0016, "ERROR", True), (0xA55A001A, "FATAL", True),
    ],
)  # fmt: skip
def test_every_frame_type(kind: int, level: str, is_json: bool) -> None:
    assert FrameReader().feed(frame(kind, b"hi\nthere", 77)) == [Framed(level, 77, "hi\nthere", is_json)]


@given(st.lists(st.binary(min_size=1, max_size=40), max_size=8), st.integers(min_value=1, max_value=50))
def test_frames_do_not_depend_on_how_the_bytes_come(messages: list[bytes], step: int) -> None:
    data = b"".join(frame(0xA55A000F, message, number) for number, message in enumerate(messages))
    reader = FrameReader()
    found = [each for at in range(0, len(data), step) for each in reader.feed(data[at : at + step])]
    assert [(each.timestamp_us, each.message) for each in found] == [
        (number, message.decode("utf-8", "replace")) for number, message in enumerate(messages)
    ]
    assert reader.pending_bytes == 0
    assert reader.noise_bytes == 0


def test_noise_is_skipped_up_to_the_next_frame() -> None:
    reader = FrameReader()
    noise = b"not a frame at all, only noise"
    found = [each for byte in noise + frame(0xA55A000F, b"ok") for each in reader.feed(bytes([byte]))]
    assert [each.message for each in found] == ["ok"]
    assert reader.noise_bytes == len(noise)


def test_a_frame_that_announces_too_much_is_noise() -> None:
    reader = FrameReader(frame_bytes_max=100)
    bad = FRAME_HEADER.pack(0xA55A000F, 101, 0)
    assert [each.message for each in reader.feed(bad + frame(0xA55A000F, b"ok"))] == ["ok"]


def test_a_long_frame_becomes_several_events_of_one_time() -> None:
    found = FrameReader(event_bytes_max=4).feed(frame(0xA55A0017, b"abcdefghij", 9))
    assert found == [Framed("ERROR", 9, part) for part in ("abcd", "efgh", "ij")]


def test_a_newline_ends_an_event_and_a_carriage_return_does_not() -> None:
    reader = LineReader()
    assert reader.feed(b"one\ntwo\rstill two\npart") == ["one\n", "two\rstill two\n"]
    assert reader.feed(b"ial\n") == ["partial\n"]
    assert reader.feed(b"no newline") == []
    assert reader.flush() == ["no newline"]
    assert reader.flush() == []


@given(st.text(max_size=300), st.integers(min_value=1, max_value=40))
def test_lines_do_not_depend_on_how_the_bytes_come(text: str, step: int) -> None:
    data = text.encode()
    reader = LineReader()
    found = [line for at in range(0, len(data), step) for line in reader.feed(data[at : at + step])] + reader.flush()
    assert "".join(found) == text
    assert all(line.endswith("\n") for line in found[:-1])
    assert all(line.count("\n") <= 1 for line in found)


def test_a_line_without_end_is_cut_and_not_kept() -> None:
    reader = LineReader(event_bytes_max=10)
    assert reader.feed(b"x" * 25) == ["x" * 10, "x" * 10]
    assert reader.feed(b"y\n") == ["xxxxxy\n"]


@given(st.text(max_size=60), st.integers(min_value=4, max_value=20))
def test_a_cut_never_falls_inside_a_character(text: str, limit: int) -> None:
    parts = split_text(text.encode(), limit)
    assert "".join(parts) == text
    assert all(0 < len(part.encode()) <= limit for part in parts)


def test_bytes_that_are_no_text_are_replaced() -> None:
    assert LineReader().feed(b"\xff\xfe\n") == ["\ufffd\ufffd\n"]
