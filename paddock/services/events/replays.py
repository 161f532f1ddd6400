"""Replays of archives: started, looked at, cancelled."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC
from typing import Any

from paddock.control.ticks import from_us
from paddock.model.archive import CANCELLING, RUNNING, STARTING, Archive, Replay, archive_arn
from paddock.model.errors import ClientError
from paddock.model.event_bus import bus_arn
from paddock.services.events.archives import check_filters
from paddock.services.events.desk import Desk, exists, invalid, limit_exceeded, missing, page
from paddock.services.service import Call, Params

REPLAYS_MAX = 10


async def start_replay(desk: Desk, call: Call) -> Params:
    """Answers once the replay is durable; the events follow."""
    params, caller = call.params, call.caller
    name, archive = params["ReplayName"], _archive(desk, call)
    start, end = params["EventStartTime"].astimezone(UTC), params["EventEndTime"].astimezone(UTC)
    if start >= end:
        raise invalid("Parameter EventEndTime is not valid. Reason: EventStartTime must be before EventEndTime.")
    replay = Replay(
        account=caller.account, region=caller.region, name=name, archive=archive.name, bus=archive.bus, start=start,
        end=end, rules=_rules(desk, archive, params["Destination"]), description=params.get("Description") or "",
        began=desk.clock.now(),
    )  # fmt: skip

    def change(before: Replay | None, others: int) -> Replay:
        if before is not None:
            raise exists(f"Replay {name} already exists.")
        if others >= REPLAYS_MAX:
            raise limit_exceeded()
        return replay

    await desk.replays.change(replay.key, change)
    return {"ReplayArn": replay.arn, "State": replay.state, "ReplayStartTime": replay.began}


async def describe_replay(desk: Desk, call: Call) -> Params:
    found = await _named(desk, call)
    destination: dict[str, Any] = {"Arn": bus_arn(found.account, found.region, found.bus)}
    if found.rules:
        destination["FilterArns"] = list(found.rules)
    shown = {"ReplayArn": found.arn, "Destination": destination, **_view(found)}
    return shown | ({"Description": found.description} if found.description else {})


async def list_replays(desk: Desk, call: Call) -> Params:
    params, caller = call.params, call.caller
    prefix, source, state = (params.get(name) or "" for name in ("NamePrefix", "EventSourceArn", "State"))
    check_filters("ListReplays", prefix, source, state)
    found = [
        one
        for one in await desk.replays.of(caller.account, caller.region)
        if one.name.startswith(prefix) and source in ("", _source(one)) and state in ("", one.state)
    ]
    shown, more = page(found, params)
    return {"Replays": [_view(one) for one in shown], **more}


async def cancel_replay(desk: Desk, call: Call) -> Params:
    """What was sent already stays sent."""
    name = call.params["ReplayName"]

    def change(before: Replay | None, others: int) -> Replay:
        if before is None:
            raise missing(f"Replay {name} does not exist.")
        if before.state not in (STARTING, RUNNING):
            message = f"Replay {name} is not in a valid state for this operation."
            raise ClientError(message, code="IllegalStatusException")
        return replace(before, state=CANCELLING)

    after = await desk.replays.change((call.caller.account, call.caller.region, name), change)
    return {"ReplayArn": after.arn, "State": after.state}


async def _named(desk: Desk, call: Call) -> Replay:
    name = call.params["ReplayName"]
    found = await desk.replays.get((call.caller.account, call.caller.region, name))
    if found is None:
        raise missing(f"Replay {name} does not exist.")
    return found


def _archive(desk: Desk, call: Call) -> Archive:
    """The archive that EventSourceArn names."""
    given, account, region = call.params["EventSourceArn"], call.caller.account, call.caller.region
    name = given.rpartition("/")[2]
    if given != archive_arn(account, region, name):
        raise invalid("Parameter EventSourceArn is not valid. Reason: Must contain an archive ARN.")
    found = desk.archives.get((account, region, name))
    if found is None:
        raise invalid(f"Parameter EventSourceArn is not valid. Reason: Archive {name} does not exist.")
    return found


def _rules(desk: Desk, archive: Archive, destination: Params) -> tuple[str, ...]:
    """ARNs of the rules that get the events. Raises ValidationException for another bus than the archive's own."""
    bus = bus_arn(archive.account, archive.region, archive.bus)
    if ":event-bus/" not in destination["Arn"]:
        raise invalid("Parameter Destination.Arn is not valid. Reason: Must contain an event bus ARN.")
    if destination["Arn"] != bus:
        raise invalid("Parameter Destination.Arn is not valid. Reason: Cross event bus replay is not permitted.")
    if desk.buses.bus(archive.account, archive.region, archive.bus) is None:
        raise missing(f"Event bus {archive.bus} does not exist.")
    given = tuple(destination.get("FilterArns") or ())
    known = {rule.arn for rule in desk.buses.rules(archive.account, archive.region, archive.bus)}
    for one in given:
        if one not in known:
            raise invalid(f"Parameter FilterArns is not valid. Reason: Rule {one} is no rule of the event bus.")
    return given


def _source(replay: Replay) -> str:
    return archive_arn(replay.account, replay.region, replay.archive)


def _view(replay: Replay) -> dict[str, Any]:
    shown = {
        "ReplayName": replay.name, "EventSourceArn": _source(replay), "State": replay.state,
        "StateReason": replay.reason or None, "EventStartTime": replay.start, "EventEndTime": replay.end,
        "EventLastReplayedTime": from_us(replay.at_us) if replay.at_us >= 0 else None,
        "ReplayStartTime": replay.began, "ReplayEndTime": replay.ended,
    }  # fmt: skip
    return {name: value for name, value in shown.items() if value is not None}
