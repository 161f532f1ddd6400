"""PutEvents: entries to events, each accepted or refused on its own. What is accepted is durable when this answers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from paddock.control.event_buses import PutEvent
from paddock.model.errors import NotYet
from paddock.model.event_bus import DEFAULT_BUS, bus_arn, envelope, written
from paddock.model.permission import Asker, Decision, ResourcePolicy, decide
from paddock.services.events.desk import Desk, invalid
from paddock.services.service import Call, Params

ENTRY_BYTES_MAX = 262_144
_PUT = "events:PutEvents"


class _Refused(Exception):
    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.shown = {"ErrorCode": code, "ErrorMessage": message}


async def put_events(desk: Desk, call: Call) -> Params:
    if call.params.get("EndpointId"):
        raise NotYet("EndpointId (global endpoints) is not supported by Paddock yet.")
    entries = call.params["Entries"]
    if sum(_size(entry) for entry in entries) > ENTRY_BYTES_MAX:
        raise invalid("Total size of the entries in the request is over the limit.")
    answers: list[dict[str, str]] = []
    accepted: list[PutEvent] = []
    for entry in entries:
        try:
            put = _put(desk, call, entry)
        except _Refused as refused:
            answers.append(refused.shown)
        else:
            answers.append({"EventId": put.event["id"]})
            accepted.append(put)
    await desk.buses.put(accepted)
    return {"FailedEntryCount": len(answers) - len(accepted), "Entries": answers}


def _put(desk: Desk, call: Call, entry: Mapping[str, Any]) -> PutEvent:
    for name in ("Source", "DetailType", "Detail"):
        if not entry.get(name):
            raise _Refused("InvalidArgument", f"Parameter {name} is not valid. Reason: {name} is a required argument.")
    if entry["Source"].startswith("aws."):
        raise _Refused("NotAuthorizedForSourceException", "Not authorized for the source.")
    detail = _detail(entry["Detail"])
    time: datetime = entry.get("Time") or desk.clock.now()
    account, region, bus = _bus(desk, call, entry.get("EventBusName"))
    event = envelope(
        id=desk.ids.uuid(), source=entry["Source"], detail_type=entry["DetailType"], account=call.caller.account,
        region=call.caller.region, time=written(time), resources=entry.get("Resources") or [], detail=detail,
    )  # fmt: skip
    return PutEvent(bus=(account, region, bus), event=event, trace=entry.get("TraceHeader") or "")


def _detail(text: str) -> Any:
    try:
        detail = json.loads(text)
    except (ValueError, RecursionError):
        detail = None
    if not isinstance(detail, dict):
        raise _Refused("MalformedDetail", "Detail is malformed.")
    return detail


def _bus(desk: Desk, call: Call, name: str | None) -> tuple[str, str, str]:
    """The bus that is meant. Another account's must allow it; one that is not there takes everything, and keeps
    nothing, as on AWS."""
    caller = call.caller
    if not name or not name.startswith("arn:"):
        return (caller.account, caller.region, name or DEFAULT_BUS)
    parts = name.split(":", 5)
    if len(parts) < 6 or not parts[5].startswith("event-bus/"):
        raise _Refused("InvalidArgument", f"Parameter EventBusName is not valid. Reason: {name} is no event bus.")
    account, region, bare = parts[4], parts[3], parts[5].removeprefix("event-bus/")
    if account != caller.account:
        bus = desk.buses.bus(account, region, bare)
        policy = ResourcePolicy.of(bus.policy) if bus is not None and bus.policy else None
        asker = Asker(account=caller.account, arn=caller.arn, role_arn=caller.role_arn)
        verdict = decide(policy, asker, _PUT, bus_arn(account, region, bare))
        # DELEGATED leaves it to the caller's own policies; on loopback every caller is its account's root.
        if verdict not in (Decision.ALLOWED, Decision.DELEGATED):
            raise _Refused(
                "AccessDeniedException", f"User: {caller.arn} is not authorized to perform: {_PUT} on {name}"
            )
    return (account, region, bare)


def _size(entry: Mapping[str, Any]) -> int:
    """As EventBridge counts: 14 bytes for a time, and the text of the rest in UTF-8."""
    texts = [entry.get(name) or "" for name in ("Source", "DetailType", "Detail")] + list(entry.get("Resources") or ())
    return (14 if entry.get("Time") else 0) + sum(len(text.encode("utf-8", "surrogatepass")) for text in texts)
