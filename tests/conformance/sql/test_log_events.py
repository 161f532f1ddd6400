"""Log events on the real Store: whatever a function writes comes back as it was, counted as CloudWatch counts."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from paddock.backends.sql import statements
from paddock.backends.sql.sqlite import SqliteStore
from paddock.interfaces import Tx
from paddock.model.log import LogEvent
from paddock.observe import log_store
from paddock.observe.log_store import Bounds, Group, Span, Stream, add_events, read_page

TEXTS = ("plain\n", "äöü \U0001f40e\n", '"quoted" \\ and \t tab\r', "[1, {}]", " ", "\x01\x1f\x7f", "l\u2028s")


async def added(path: Path, events: list[LogEvent]) -> tuple[int, list[tuple[int, str, int]], Group, Stream]:
    """What add_events counted, the events as they are read, group and stream afterwards."""
    store = await SqliteStore.open(path / "logs.db", statements=statements.load_logs())

    def write(tx: Tx) -> int:
        log_store.create_group(tx, "0", "r", "g", 1)
        group = log_store.group_of(tx, "0", "r", "g")
        assert group is not None
        log_store.create_stream(tx, group, "s", 1)
        stream = log_store.stream_of(tx, group, "s")
        assert stream is not None
        return add_events(tx, group.id, stream.id, events, 77)

    def read(tx: Tx) -> tuple[list[tuple[int, str, int]], Group, Stream]:
        group = log_store.group_of(tx, "0", "r", "g")
        assert group is not None
        stream = log_store.stream_of(tx, group, "s")
        assert stream is not None
        page = read_page(tx, Span(group_id=group.id, stream_id=stream.id), bounds=Bounds())
        assert all(event.ingestion_ms == 77 for event in page.events)
        found = [(event.position.timestamp_ms, event.message, event.size_bytes) for event in page.events]
        return found, group, stream

    try:
        total = await store.write(write)
        return total, *await store.read(read)
    finally:
        await store.close()


@pytest.mark.parametrize("extra", [(), ("nul \0 inside\n",)], ids=["as one document", "row by row"])
def test_every_text_comes_back_as_it_was(tmp_path: Path, extra: tuple[str, ...]) -> None:
    events = [LogEvent(1_700_000_000_000 + number, text) for number, text in enumerate((*TEXTS, *extra))]
    total, found, group, stream = asyncio.run(added(tmp_path, events))
    sizes = [len(event.message.encode()) + 26 for event in events]
    assert found == [(event.timestamp_ms, event.message, size) for event, size in zip(events, sizes, strict=True)]
    assert total == sum(sizes) == group.stored_bytes == stream.stored_bytes
    assert (stream.first_event_ms, stream.last_event_ms) == (events[0].timestamp_ms, events[-1].timestamp_ms)


def test_events_of_one_millisecond_keep_their_order(tmp_path: Path) -> None:
    events = [LogEvent(5, f"{number}\n") for number in range(3_000)]
    _, found, _, _ = asyncio.run(added(tmp_path, events))
    assert [message for _, message, _ in found] == [event.message for event in events]


@pytest.mark.parametrize("at_ms", [0, 999_999_999_999_999, 10**15, -1])
def test_times_of_any_length_are_kept(tmp_path: Path, at_ms: int) -> None:
    total, _, _, stream = asyncio.run(added(tmp_path, [LogEvent(at_ms, "x")]))
    assert (stream.first_event_ms, total) == (at_ms, 27)


def test_a_lone_surrogate_is_replaced(tmp_path: Path) -> None:
    _, found, _, _ = asyncio.run(added(tmp_path, [LogEvent(5, "a\ud800b")]))
    assert [message for _, message, _ in found] == ["a\ufffdb"]
