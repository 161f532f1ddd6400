"""Log streams: create, describe, delete."""

from __future__ import annotations

from typing import Any

from paddock.interfaces import Tx
from paddock.observe import log_store
from paddock.services.logs import view
from paddock.services.logs.desk import Desk, already_exists, group_in, group_name, invalid, stream_in
from paddock.services.logs.tokens import event_id, page_mark, page_token
from paddock.services.logs.tokens import parse as parse_position
from paddock.services.service import Call

_PAGE_MAX = 50


async def create_log_stream(desk: Desk, call: Call) -> None:
    def work(tx: Tx) -> None:
        group = group_in(tx, call, call.params["logGroupName"])
        if not log_store.create_stream(tx, group, call.params["logStreamName"], desk.now_ms()):
            raise already_exists("log stream")

    await desk.write(work)


async def delete_log_stream(desk: Desk, call: Call) -> None:
    def work(tx: Tx) -> None:
        group = group_in(tx, call, call.params["logGroupName"])
        log_store.delete_stream(tx, group, stream_in(tx, group, call.params["logStreamName"]))

    await desk.write(work)


async def describe_log_streams(desk: Desk, call: Call) -> dict[str, Any]:
    """By name or by the time of the last event; a stream without events is the oldest."""
    params = call.params
    name = group_name(call)
    by_time = params.get("orderBy", "LogStreamName") == "LastEventTime"
    if by_time and params.get("logStreamNamePrefix"):
        raise invalid("Cannot order by LastEventTime with a logStreamNamePrefix.")
    limit = params.get("limit", _PAGE_MAX)
    found = await desk.read(lambda tx: _page(tx, call, group_in(tx, call, name), by_time=by_time, limit=limit + 1))
    output: dict[str, Any] = {"logStreams": [view.stream(call.caller, name, each) for each in found[:limit]]}
    if len(found) > limit:
        last = found[limit - 1]
        output["nextToken"] = _time_token(last) if by_time else page_token(last.name)
    return output


def _page(tx: Tx, call: Call, group: log_store.Group, *, by_time: bool, limit: int) -> list[log_store.Stream]:
    descending = call.params.get("descending", False)
    token = call.params.get("nextToken")
    if by_time:
        mark = _time_mark(token) if token else None
        return log_store.streams_by_time(tx, group, mark=mark, descending=descending, limit=limit)
    return log_store.streams_by_name(
        tx,
        group,
        prefix=call.params.get("logStreamNamePrefix", ""),
        mark=page_mark(token) if token else None,
        descending=descending,
        limit=limit,
    )


def _time_token(last: log_store.Stream) -> str:
    # A stream without events stands at -1; tokens count from zero, so all times are one up in them.
    at_ms = -1 if last.last_event_ms is None else last.last_event_ms
    return f"f/{event_id(log_store.Position(at_ms + 1, last.id))}/s"


def _time_mark(token: str) -> log_store.Position:
    _, position = parse_position(token)
    return log_store.Position(position.timestamp_ms - 1, position.id)
