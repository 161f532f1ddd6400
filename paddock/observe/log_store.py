"""Log groups, streams and events in the Store: plain functions of a transaction, no wire shapes.

An event's place in its group is its Position, (time, id): events are read in that order, ids break ties in the order
of ingestion. Reads go from one open position towards another and are bounded three ways: events, bytes of what is
returned, events and bytes looked at. Whatever the bound, the page says how far it got, so the next read goes on from
there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import msgspec

from paddock.interfaces import Row, Tx
from paddock.model.log import LogEvent

EVENT_OVERHEAD_BYTES = 26
"""CloudWatch counts every event's UTF-8 bytes plus these."""

DAY_MS = 86_400_000

_TIME_MS_END = 10**15

_CHUNK_EVENTS = 200
"""Rows per query while a page is read: bounds what is in memory to this many events."""


@dataclass(frozen=True, slots=True, order=True)
class Position:
    """A place between events: just at the event (timestamp_ms, id), whether or not it exists."""

    timestamp_ms: int
    id: int


EARLIEST = Position(-1, 0)
LATEST = Position(2**62, 0)


def at_time(timestamp_ms: int) -> Position:
    """Before every event of that millisecond (ids begin at 1)."""
    return Position(timestamp_ms, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    id: int
    name: str
    created_ms: int
    retention_days: int | None
    stored_bytes: int

    def horizon(self, now_ms: int) -> Position:
        """Events before this are expired, whether or not they are swept yet."""
        if self.retention_days is None:
            return EARLIEST
        return at_time(now_ms - self.retention_days * DAY_MS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """first/last times are None until the stream has had an event."""

    id: int
    name: str
    created_ms: int
    first_event_ms: int | None
    last_event_ms: int | None
    last_ingestion_ms: int | None
    stored_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredEvent:
    position: Position
    stream_id: int
    ingestion_ms: int
    message: str
    size_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """How much one page may hold, and how much may be looked at for it."""

    events_max: int = 10_000
    bytes_max: int = 1024 * 1024
    looked_at_max: int = 20_000
    looked_at_bytes_max: int = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """What to read: strictly after `after` and before `before`, from whichever end `descending` says.

    One stream when stream_id is given, else the whole group, of it only `stream_ids` (None means all).
    """

    group_id: int
    after: Position = EARLIEST
    before: Position = LATEST
    descending: bool = False
    stream_id: int | None = None
    stream_ids: frozenset[int] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """events in reading order. reached: the last position looked at; None when there is nothing beyond it."""

    events: tuple[StoredEvent, ...]
    reached: Position | None


def size_of(message: str) -> int:
    size = len(message) if message.isascii() else len(message.encode("utf-8", "replace"))
    return size + EVENT_OVERHEAD_BYTES


def storable(message: str) -> str:
    """The text with lone surrogates (legal in JSON escapes, not in UTF-8) replaced."""
    if message.isascii():
        return message
    try:
        message.encode("utf-8")
    except UnicodeEncodeError:
        return message.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return message


def prefix_end(prefix: str) -> str | None:
    """The first name in code point order that no longer begins with the prefix; None when there is none."""
    for index in range(len(prefix) - 1, -1, -1):
        following = ord(prefix[index]) + 1
        if 0xD800 <= following <= 0xDFFF:
            following = 0xE000
        if following <= 0x10FFFF:
            return prefix[:index] + chr(following)
    return None


# --- groups and streams --------------------------------------------------------------------------------------------


def create_group(tx: Tx, account: str, region: str, name: str, now_ms: int) -> bool:
    """False when it is there already."""
    return tx.run("log_group_create", account=account, region=region, name=name, created_ms=now_ms) > 0


def group_of(tx: Tx, account: str, region: str, name: str) -> Group | None:
    row = tx.row("log_group_get", account=account, region=region, name=name)
    return _group(row) if row is not None else None


def groups_page(
    tx: Tx, account: str, region: str, *, prefix: str = "", part: str = "", after: str = "", limit: int
) -> list[Group]:
    """Groups in name order; `part` is a substring of the name."""
    rows = tx.rows(
        "log_groups_page", account=account, region=region, prefix=prefix, prefix_end=prefix_end(prefix), part=part,
        after=after, limit=limit,
    )  # fmt: skip
    return [_group(row) for row in rows]


def delete_group(tx: Tx, group: Group) -> None:
    """With its streams, events and tags."""
    for query in ("log_group_delete_events", "log_group_delete_streams", "log_group_delete_tags", "log_group_delete"):
        tx.run(query, group_id=group.id)


def create_stream(tx: Tx, group: Group, name: str, now_ms: int) -> bool:
    """False when it is there already."""
    return tx.run("log_stream_create", group_id=group.id, name=name, created_ms=now_ms) > 0


def stream_of(tx: Tx, group: Group, name: str) -> Stream | None:
    row = tx.row("log_stream_get", group_id=group.id, name=name)
    return _stream(row) if row is not None else None


def delete_stream(tx: Tx, group: Group, stream: Stream) -> None:
    tx.run("log_stream_delete_events", stream_id=stream.id)
    tx.run("log_stream_delete", stream_id=stream.id)
    tx.run("log_group_add_bytes", group_id=group.id, size_bytes=-stream.stored_bytes)


def streams_by_name(
    tx: Tx, group: Group, *, prefix: str = "", mark: str | None = None, descending: bool = False, limit: int
) -> list[Stream]:
    """Streams in name order, going on after the name `mark`."""
    end = prefix_end(prefix)
    if descending:
        rows = tx.rows(
            "log_streams_by_name_descending", group_id=group.id, before=mark, prefix=prefix, prefix_end=end, limit=limit
        )
    else:
        rows = tx.rows(
            "log_streams_by_name", group_id=group.id, after=mark or "", prefix=prefix, prefix_end=end, limit=limit
        )
    return [_stream(row) for row in rows]


def streams_by_time(tx: Tx, group: Group, *, mark: Position | None, descending: bool, limit: int) -> list[Stream]:
    """Streams by the time of their last event, going on after `mark` (that time or -1, stream id)."""
    if descending:
        place = mark or LATEST
        rows = tx.rows(
            "log_streams_by_time_descending",
            group_id=group.id, before_ms=place.timestamp_ms, before_id=place.id, limit=limit,
        )  # fmt: skip
    else:
        place = mark or Position(-2, 0)
        rows = tx.rows(
            "log_streams_by_time", group_id=group.id, after_ms=place.timestamp_ms, after_id=place.id, limit=limit
        )
    return [_stream(row) for row in rows]


def stream_names(tx: Tx, group: Group, *, prefix: str = "") -> Mapping[int, str]:
    """Stream id -> name, of those with the prefix."""
    rows = tx.rows("log_stream_ids_by_prefix", group_id=group.id, prefix=prefix, prefix_end=prefix_end(prefix))
    return {row["id"]: row["name"] for row in rows}


def stream_name_of(tx: Tx, stream_id: int) -> str:
    """The name of a stream that has events."""
    row = tx.row("log_stream_name", stream_id=stream_id)
    return str(row["name"]) if row is not None else ""


# --- events --------------------------------------------------------------------------------------------------------


def add_events(tx: Tx, group_id: int, stream_id: int, events: Sequence[LogEvent], now_ms: int) -> int:
    """Append; the bytes they count as. `events` is not empty."""
    messages = [event.message for event in events]
    times = [event.timestamp_ms for event in events]
    together = "".join(messages)
    if together.isascii():
        total = len(together) + EVENT_OVERHEAD_BYTES * len(messages)
    else:
        messages = [storable(message) for message in messages]
        total = sum(map(size_of, messages))
    first_ms, last_ms = min(times), max(times)
    # SQLite's JSON ends a text at a NUL, and the digits are counted.
    in_digits = 0 <= first_ms <= last_ms < _TIME_MS_END
    if in_digits and "\0" not in together:
        texts = [f"{at_ms:015d}{message}" for at_ms, message in zip(times, messages, strict=True)]
        tx.run(
            "log_events_add", group_id=group_id, stream_id=stream_id, ingestion_ms=now_ms,
            overhead_bytes=EVENT_OVERHEAD_BYTES, events=msgspec.json.encode(texts).decode(),
        )  # fmt: skip
    else:
        shared = {"group_id": group_id, "stream_id": stream_id, "ingestion_ms": now_ms}
        rows = [
            {**shared, "timestamp_ms": at_ms, "size_bytes": size_of(message), "message": message}
            for at_ms, message in zip(times, messages, strict=True)
        ]
        tx.run_many("log_event_add", rows)
    tx.run(
        "log_stream_note_events", stream_id=stream_id, size_bytes=total, first_ms=first_ms, last_ms=last_ms,
        ingestion_ms=now_ms,
    )  # fmt: skip
    tx.run("log_group_add_bytes", group_id=group_id, size_bytes=total)
    return total


def read_page(tx: Tx, span: Span, *, bounds: Bounds, wanted: Callable[[str], bool] | None = None) -> Page:
    """Events of the span that are `wanted`, until the span or a bound ends."""
    found: list[StoredEvent] = []
    found_bytes = looked_at_bytes = 0
    reached: Position | None = None
    for looked_at, event in enumerate(_walk(tx, span), start=1):
        looked_at_bytes += event.size_bytes
        of_stream = span.stream_ids is None or event.stream_id in span.stream_ids
        if of_stream and (wanted is None or wanted(event.message)):
            if found and found_bytes + event.size_bytes > bounds.bytes_max:
                return Page(events=tuple(found), reached=reached)
            found.append(event)
            found_bytes += event.size_bytes
        reached = event.position
        if (
            len(found) >= bounds.events_max
            or looked_at >= bounds.looked_at_max
            or looked_at_bytes >= bounds.looked_at_bytes_max
        ):
            beyond = next(_walk(tx, _after(span, reached), chunk=1), None)
            return Page(events=tuple(found), reached=reached if beyond is not None else None)
    return Page(events=tuple(found), reached=None)


def _walk(tx: Tx, span: Span, *, chunk: int = _CHUNK_EVENTS) -> Iterator[StoredEvent]:
    """All events of the span, a chunk of rows in memory at a time."""
    query = "log_events_of_group" if span.stream_id is None else "log_events_of_stream"
    target = {"group_id": span.group_id} if span.stream_id is None else {"stream_id": span.stream_id}
    if span.descending:
        query += "_descending"
    while True:
        rows = tx.rows(
            query, **target, limit=chunk,
            after_ms=span.after.timestamp_ms, after_id=span.after.id,
            before_ms=span.before.timestamp_ms, before_id=span.before.id,
        )  # fmt: skip
        for row in rows:
            yield _event(row)
        if len(rows) < chunk:
            return
        span = _after(span, Position(rows[-1]["timestamp_ms"], rows[-1]["id"]))


def _after(span: Span, reached: Position) -> Span:
    return replace(span, before=reached) if span.descending else replace(span, after=reached)


def expire_chunk(tx: Tx, now_ms: int, *, events_max: int) -> int:
    """Delete events older than their group's retention, at most `events_max`; how many went."""
    swept = 0
    for row in tx.rows("log_groups_with_retention"):
        if swept >= events_max:
            break
        swept += _expire_group(tx, row["id"], now_ms - row["retention_days"] * DAY_MS, events_max - swept)
    return swept


def _expire_group(tx: Tx, group_id: int, before_ms: int, events_max: int) -> int:
    rows = tx.rows("log_events_expired", group_id=group_id, before_ms=before_ms, limit=events_max)
    if not rows:
        return 0
    by_stream: dict[int, int] = {}
    for row in rows:
        by_stream[row["stream_id"]] = by_stream.get(row["stream_id"], 0) + row["size_bytes"]
    last = rows[-1]
    tx.run("log_events_delete_through", group_id=group_id, through_ms=last["timestamp_ms"], through_id=last["id"])
    for stream_id, size in by_stream.items():
        tx.run("log_stream_note_expired", stream_id=stream_id, size_bytes=size)
    tx.run("log_group_add_bytes", group_id=group_id, size_bytes=-sum(by_stream.values()))
    return len(rows)


def _group(row: Row) -> Group:
    return Group(
        id=row["id"], name=row["name"], created_ms=row["created_ms"], retention_days=row["retention_days"],
        stored_bytes=row["stored_bytes"],
    )  # fmt: skip


def _stream(row: Row) -> Stream:
    return Stream(
        id=row["id"], name=row["name"], created_ms=row["created_ms"], first_event_ms=row["first_event_ms"],
        last_event_ms=row["last_event_ms"], last_ingestion_ms=row["last_ingestion_ms"],
        stored_bytes=row["stored_bytes"],
    )  # fmt: skip


def _event(row: Row) -> StoredEvent:
    return StoredEvent(
        position=Position(row["timestamp_ms"], row["id"]), stream_id=row["stream_id"],
        ingestion_ms=row["ingestion_ms"], message=row["message"], size_bytes=row["size_bytes"],
    )  # fmt: skip
