"""Log events: put, get from one stream, filter in a group."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

from paddock.interfaces import Tx
from paddock.model.errors import NotYet
from paddock.model.log import LogEvent
from paddock.observe import log_store
from paddock.observe.filter_pattern import InvalidPattern, compile_pattern
from paddock.observe.log_store import Bounds, Page, Position, Span, at_time
from paddock.services.logs import tokens, view
from paddock.services.logs.desk import Desk, group_in, group_name, invalid, no_such_stream, stream_in
from paddock.services.service import Call

BATCH_BYTES_MAX = 1_048_576
BATCH_SPAN_MS = 24 * 3_600_000
TOO_NEW_MS = 2 * 3_600_000
TOO_OLD_MS = 14 * log_store.DAY_MS
LATEST_FIRST_SINCE_MS = 1_704_067_200_000
"""2024-01-01: FilterLogEvents reads backwards only from there on (service model's documentation)."""


async def put_log_events(desk: Desk, call: Call) -> dict[str, Any]:
    """sequenceToken is looked at by nobody since 2023, as the service model's documentation says."""
    if call.params.get("entity"):
        raise NotYet("entity of PutLogEvents is not supported yet")
    events = [LogEvent(each["timestamp"], each["message"]) for each in call.params["logEvents"]]
    _check_batch(events)
    now_ms = desk.now_ms()

    def work(tx: Tx) -> dict[str, Any]:
        group = group_in(tx, call, call.params["logGroupName"])
        stream = stream_in(tx, group, call.params["logStreamName"])
        accepted, rejected = _sort_out(events, now_ms, group.horizon(now_ms).timestamp_ms)
        if accepted and accepted[-1].timestamp_ms - accepted[0].timestamp_ms > BATCH_SPAN_MS:
            raise invalid("The batch of log events in a single PutLogEvents request cannot span more than 24 hours.")
        if accepted:
            log_store.add_events(tx, group.id, stream.id, accepted, now_ms)
        output: dict[str, Any] = {"nextSequenceToken": view.sequence_token(stream.id)}
        return {**output, "rejectedLogEventsInfo": rejected} if rejected else output

    return await desk.write(work)


def _check_batch(events: Sequence[LogEvent]) -> None:
    size = sum(log_store.size_of(event.message) for event in events)
    if size > BATCH_BYTES_MAX:
        raise invalid(f"Upload too large: {size} bytes exceeds limit of {BATCH_BYTES_MAX}")
    times = [event.timestamp_ms for event in events]
    if any(later < earlier for earlier, later in pairwise(times)):
        raise invalid("Log events in a single PutLogEvents request must be in chronological order.")


def _sort_out(events: Sequence[LogEvent], now_ms: int, expired_before_ms: int) -> tuple[list[LogEvent], dict[str, int]]:
    """(what is stored, rejectedLogEventsInfo). Events are in order of time, so each kind of reject is one end."""
    times = [event.timestamp_ms for event in events]
    too_old = sum(time < now_ms - TOO_OLD_MS for time in times)
    expired = sum(time < expired_before_ms for time in times)
    too_new = sum(time > now_ms + TOO_NEW_MS for time in times)
    rejected: dict[str, int] = {}
    if too_new:
        rejected["tooNewLogEventStartIndex"] = len(events) - too_new
    if too_old:
        rejected["tooOldLogEventEndIndex"] = too_old
    if expired:
        rejected["expiredLogEventEndIndex"] = expired
    return list(events[max(too_old, expired) : len(events) - too_new]), rejected


async def get_log_events(desk: Desk, call: Call) -> dict[str, Any]:
    """One stream. endTime is exclusive here. At either end the token that was given comes back."""
    name = group_name(call)

    def work(tx: Tx) -> tuple[Page, Span]:
        group = group_in(tx, call, name)
        stream = stream_in(tx, group, call.params["logStreamName"])
        span = replace(_span(call, desk, group, end_plus_ms=0), stream_id=stream.id)
        if token := call.params.get("nextToken"):
            forward, position = tokens.parse(token)
            span = _from(span, position, descending=not forward)
        else:
            span = replace(span, descending=not call.params.get("startFromHead", False))
        return log_store.read_page(tx, span, bounds=_bounds(call)), span

    page, span = await desk.read(work)
    events = sorted(page.events, key=lambda event: event.position)
    forward, backward = _ends(span, [event.position for event in events], call.params.get("nextToken", ""))
    return {
        "events": [view.output_event(event) for event in events],
        "nextForwardToken": forward,
        "nextBackwardToken": backward,
    }


def _ends(span: Span, found: Sequence[Position], token: str) -> tuple[str, str]:
    """(nextForwardToken, nextBackwardToken). Nothing found: the given token again, and one that looks back over it."""
    if found:
        return tokens.forward(found[-1]), tokens.backward(found[0])
    if not token:
        begin = Position(max(span.after.timestamp_ms, 0), span.after.id)
        return tokens.forward(begin), tokens.backward(begin)
    forward, at = tokens.parse(token)
    if forward:
        return token, tokens.backward(Position(at.timestamp_ms, at.id + 1))
    return tokens.forward(Position(at.timestamp_ms, max(at.id - 1, 0))), token


async def filter_log_events(desk: Desk, call: Call) -> dict[str, Any]:
    """A group's events in order of time, its streams interleaved. endTime is inclusive here.

    A page may be empty and still have a nextToken: it ends after a bounded number of events looked at.
    """
    name = group_name(call)
    wanted = _pattern(call)
    names = call.params.get("logStreamNames", [])
    prefix = call.params.get("logStreamNamePrefix", "")
    if names and prefix:
        raise invalid("logStreamNames and logStreamNamePrefix are mutually exclusive parameters.")

    def work(tx: Tx) -> tuple[Page, bool, dict[int, str]]:
        group = group_in(tx, call, name)
        span = _filter_span(call, desk, group)
        if names or prefix:
            span = _narrowed(tx, span, group, names, prefix)
        page = log_store.read_page(tx, span, bounds=_bounds(call), wanted=wanted)
        streams = {event.stream_id for event in page.events}
        return page, span.descending, {each: log_store.stream_name_of(tx, each) for each in streams}

    page, descending, of_stream = await desk.read(work)
    events = [view.filtered_event(event, of_stream[event.stream_id]) for event in page.events]
    output: dict[str, Any] = {"events": events, "searchedLogStreams": []}
    if page.reached is not None:
        output["nextToken"] = tokens.backward(page.reached) if descending else tokens.forward(page.reached)
    return output


def _filter_span(call: Call, desk: Desk, group: log_store.Group) -> Span:
    span = _span(call, desk, group, end_plus_ms=1)
    if token := call.params.get("nextToken"):
        forward, position = tokens.parse(token)
        return _from(span, position, descending=not forward)
    descending = not call.params.get("startFromHead", True)
    if descending and call.params.get("startTime", LATEST_FIRST_SINCE_MS) < LATEST_FIRST_SINCE_MS:
        raise invalid("startFromHead false is supported only for a startTime on or after Jan 1, 2024 00:00:00 UTC.")
    return replace(span, descending=descending)


def _narrowed(tx: Tx, span: Span, group: log_store.Group, names: Sequence[str], prefix: str) -> Span:
    """The span of only these streams. Raises ResourceNotFoundException for a name that is not there."""
    if names:
        streams = [log_store.stream_of(tx, group, name) for name in names]
        if any(stream is None for stream in streams):
            raise no_such_stream()
        ids = frozenset(stream.id for stream in streams if stream is not None)
    else:
        ids = frozenset(log_store.stream_names(tx, group, prefix=prefix))
    if len(ids) <= 1:
        return replace(span, stream_id=next(iter(ids), 0))  # ids begin at 1: 0 is no stream
    return replace(span, stream_ids=ids)


def _pattern(call: Call) -> Any:
    pattern = call.params.get("filterPattern", "")
    if not pattern.strip():
        return None
    try:
        return compile_pattern(pattern)
    except InvalidPattern as error:
        raise invalid(str(error)) from error


def _span(call: Call, desk: Desk, group: log_store.Group, *, end_plus_ms: int) -> Span:
    """startTime..endTime, without what the retention has expired."""
    start, end = call.params.get("startTime"), call.params.get("endTime")
    if start is not None and end is not None and start > end:
        raise invalid("End time should not be less than start time.")
    after = group.horizon(desk.now_ms())
    if start is not None:
        after = max(after, at_time(min(start, log_store.LATEST.timestamp_ms)))
    before = log_store.LATEST
    if end is not None:
        before = min(before, at_time(min(end + end_plus_ms, log_store.LATEST.timestamp_ms)))
    return Span(group_id=group.id, after=after, before=before)


def _from(span: Span, position: Position, *, descending: bool) -> Span:
    if descending:
        return replace(span, descending=True, before=min(span.before, position))
    return replace(span, descending=False, after=max(span.after, position))


def _bounds(call: Call) -> Bounds:
    return Bounds(events_max=call.params.get("limit", Bounds().events_max))
