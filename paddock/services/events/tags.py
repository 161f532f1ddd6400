"""Tags of rules and event buses."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from paddock.model.event_bus import DEFAULT_BUS, EventBus, Rule
from paddock.services.events.desk import Desk, bus_of, checked_tags, missing, rule_of, tags_of
from paddock.services.service import Call, Params

Tags = Mapping[str, str]


async def tag_resource(desk: Desk, call: Call) -> None:
    more = checked_tags(tags_of(call.params["Tags"]))
    await _retag(desk, call, lambda now: checked_tags({**now, **more}))


async def untag_resource(desk: Desk, call: Call) -> None:
    keys = call.params["TagKeys"]
    await _retag(desk, call, lambda now: {key: value for key, value in now.items() if key not in keys})


async def list_tags_for_resource(desk: Desk, call: Call) -> Params:
    return {"Tags": [{"Key": key, "Value": value} for key, value in _named(desk, call).tags.items()]}


async def _retag(desk: Desk, call: Call, change: Callable[[Tags], Tags]) -> None:
    found = _named(desk, call)
    if isinstance(found, Rule):
        name, bus = found.name, found.bus

        def rule(now: Rule | None) -> Rule:
            kept = rule_of(now, name, bus)
            return replace(kept, tags=change(kept.tags))

        await desk.buses.change_rule(found.key, rule)
        return
    there = found
    await desk.buses.change_bus(
        (there.account, there.region, there.name),
        lambda now: replace(now or there, tags=change((now or there).tags)),
    )


def _named(desk: Desk, call: Call) -> Rule | EventBus:
    """The rule or bus that ResourceARN names. Raises ResourceNotFoundException."""
    arn = call.params["ResourceARN"]
    kind, _, rest = arn.split(":", 5)[-1].partition("/")
    caller = call.caller
    if not arn.startswith(f"arn:aws:events:{caller.region}:{caller.account}:"):
        raise missing(f"Resource {arn} does not exist.")
    if kind == "event-bus":
        return bus_of(desk, call, rest)
    bus, slash, name = rest.rpartition("/")
    rule = desk.buses.rule(caller.account, caller.region, bus if slash else DEFAULT_BUS, name)
    if kind != "rule" or rule is None:
        raise missing(f"Resource {arn} does not exist.")
    return rule
