"""Archives: which events of a bus are kept, and for how long."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from paddock.model.archive import Archive
from paddock.model.errors import ClientError, NotYet
from paddock.model.event_bus import bus_arn
from paddock.model.event_pattern import InvalidPattern, compile_pattern
from paddock.services.events.desk import Desk, bus_of, exists, invalid, missing, page
from paddock.services.service import Call, Params

ENABLED = "ENABLED"


async def create_archive(desk: Desk, call: Call) -> Params:
    params, caller = call.params, call.caller
    _refuse(params)
    name, pattern = params["ArchiveName"], params.get("EventPattern") or ""
    bus = bus_of(desk, call, params["EventSourceArn"])
    _check(pattern)
    archive = Archive(
        account=caller.account, region=caller.region, name=name, bus=bus.name, pattern=pattern,
        description=params.get("Description") or "", retention_days=params.get("RetentionDays") or 0,
        created=desk.clock.now(),
    )  # fmt: skip

    def change(before: Archive | None) -> Archive:
        if before is not None:
            raise exists(f"Archive {name} already exists.")
        return archive

    await desk.archives.change(archive.key, change)
    return _answer(archive)


async def update_archive(desk: Desk, call: Call) -> Params:
    """What is not named stays."""
    params, archive = call.params, _named(desk, call)
    _refuse(params)
    pattern, description, days = params.get("EventPattern"), params.get("Description"), params.get("RetentionDays")
    _check(pattern or "")

    def change(before: Archive | None) -> Archive:
        if before is None:
            raise missing(f"Archive {archive.name} does not exist.")
        return replace(
            before,
            pattern=before.pattern if pattern is None else pattern,
            description=before.description if description is None else description,
            retention_days=before.retention_days if days is None else days,
        )

    await desk.archives.change(archive.key, change)
    return _answer(archive)


async def describe_archive(desk: Desk, call: Call) -> Params:
    archive = _named(desk, call)
    shown = {"ArchiveArn": archive.arn, **await _view(desk, archive)}
    more = {"Description": archive.description, "EventPattern": archive.pattern}
    return shown | {name: value for name, value in more.items() if value}


async def list_archives(desk: Desk, call: Call) -> Params:
    params, caller = call.params, call.caller
    prefix, source, state = (params.get(name) or "" for name in ("NamePrefix", "EventSourceArn", "State"))
    check_filters("ListArchives", prefix, source, state)
    found = [
        one
        for one in desk.archives.of(caller.account, caller.region)
        if one.name.startswith(prefix) and source in ("", _bus_arn(one)) and state in ("", ENABLED)
    ]
    shown, more = page(found, params)
    return {"Archives": [await _view(desk, one) for one in shown], **more}


async def delete_archive(desk: Desk, call: Call) -> Params:
    """With everything that it keeps."""
    archive = _named(desk, call)
    await desk.archives.change(archive.key, lambda before: None)
    return {}


def check_filters(operation: str, *given: str) -> None:
    """Raises ValidationException for more than one."""
    if sum(1 for one in given if one) > 1:
        raise invalid(
            f"At most one filter is allowed for {operation}. Use either : State, EventSourceArn, or NamePrefix."
        )


def _named(desk: Desk, call: Call) -> Archive:
    name = call.params["ArchiveName"]
    found = desk.archives.get((call.caller.account, call.caller.region, name))
    if found is None:
        raise missing(f"Archive {name} does not exist.")
    return found


def _refuse(params: Params) -> None:
    if params.get("KmsKeyIdentifier"):
        raise NotYet("The setting KmsKeyIdentifier of an archive is not supported by Paddock yet.")


def _check(pattern: str) -> None:
    try:
        if pattern:
            compile_pattern(pattern)
    except InvalidPattern as error:
        raise ClientError(f"Event pattern is not valid. Reason: {error}", code="InvalidEventPatternException") from None


def _bus_arn(archive: Archive) -> str:
    return bus_arn(archive.account, archive.region, archive.bus)


def _answer(archive: Archive) -> Params:
    return {"ArchiveArn": archive.arn, "State": ENABLED, "CreationTime": archive.created}


async def _view(desk: Desk, archive: Archive) -> dict[str, Any]:
    events, size = await desk.archives.size(archive.key)
    return {
        "ArchiveName": archive.name, "EventSourceArn": _bus_arn(archive), "State": ENABLED,
        "RetentionDays": archive.retention_days, "SizeBytes": size, "EventCount": events,
        "CreationTime": archive.created,
    }  # fmt: skip
