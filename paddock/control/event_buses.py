"""The catalogue of event buses: buses, rules and their targets, and what becomes of the events that are put on them.

Rules are held in memory, their patterns compiled; every change is committed before it is shown. Putting events is one
transaction: for each target of each rule that matches, an entry in the outbox; PutEvents answers once they are durable.
A rule with a schedule has a row among the ticks, and fires past the bus, straight to its own targets.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, TypeVar

import msgspec

from paddock.control import ticks
from paddock.control.archives import Archives
from paddock.control.ticks import Planned, Send
from paddock.interfaces import Clock, Ids, Store, TargetRefused, Tx
from paddock.model import schedule
from paddock.model.delivery import TargetEvent
from paddock.model.event_bus import DEFAULT_BUS, HOP, BusTarget, EventBus, Rule, envelope, sent, written
from paddock.model.event_pattern import Pattern, compile_pattern
from paddock.model.permission import Asker, Decision, ResourcePolicy, decide

T = TypeVar("T")
BusKey = tuple[str, str, str]
RuleKey = tuple[str, str, str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class PutEvent:
    """An event on its way onto a bus. hopped: another bus sent it."""

    bus: BusKey
    event: Mapping[str, Any]
    trace: str = ""
    hopped: bool = False


class _Entry(msgspec.Struct):
    """What of a PutEvents entry stands in the body of an event for a bus. Time is as events spell it."""

    Source: str
    DetailType: str
    Detail: str = "{}"
    Resources: list[str] = msgspec.field(default_factory=list)
    Time: str = ""


class Buses:
    """Call start() before anything else."""

    def __init__(
        self, *, store: Store, send: Send, clock: Clock, ids: Ids, ticked: Callable[[], None], archives: Archives
    ) -> None:
        """ticked: told when a tick was planned that may be earlier than all others."""
        self._archives = archives
        self._store = store
        self._send = send
        self._clock = clock
        self._ids = ids
        self._ticked = ticked
        self._buses: dict[BusKey, EventBus] = {}
        self._rules: dict[BusKey, dict[str, Rule]] = {}
        self._patterns: dict[RuleKey, Pattern] = {}
        self._lock = asyncio.Lock()
        self._changes: set[asyncio.Task[Any]] = set()

    async def start(self) -> None:
        for row in await self._store.read(lambda tx: tx.rows("event_buses_all")):
            bus = msgspec.json.decode(row["document"], type=EventBus)
            self._buses[bus.account, bus.region, bus.name] = bus
        for row in await self._store.read(lambda tx: tx.rows("event_rules_all")):
            self._keep(msgspec.json.decode(row["document"], type=Rule))

    # Reading.

    def bus(self, account: str, region: str, name: str) -> EventBus | None:
        """The default bus is always there."""
        found = self._buses.get((account, region, name))
        if found is None and name == DEFAULT_BUS:
            began = datetime.fromtimestamp(0, tz=self._clock.now().tzinfo)
            return EventBus(account=account, region=region, name=name, created=began, modified=began)
        return found

    def buses(self, account: str, region: str) -> Sequence[EventBus]:
        """In order of their names."""
        names = {bus.name for bus in self._buses.values() if (bus.account, bus.region) == (account, region)}
        found = (self.bus(account, region, name) for name in sorted(names | {DEFAULT_BUS}))
        return [bus for bus in found if bus is not None]

    def rules(self, account: str, region: str, bus: str) -> Sequence[Rule]:
        """In order of their names."""
        return sorted(self._rules.get((account, region, bus), {}).values(), key=lambda rule: rule.name)

    def rule(self, account: str, region: str, bus: str, name: str) -> Rule | None:
        return self._rules.get((account, region, bus), {}).get(name)

    # Changing. Each is given the current state and returns the new one; what it raises changes nothing.

    async def change_bus(self, key: BusKey, change: Callable[[EventBus | None], EventBus | None]) -> EventBus | None:
        """None deletes."""
        return await self._undisturbed(self._change_bus(key, change))

    async def change_rule(self, key: RuleKey, change: Callable[[Rule | None], Rule | None]) -> Rule | None:
        """None deletes."""
        return await self._undisturbed(self._change_rule(key, change))

    async def _change_bus(self, key: BusKey, change: Callable[[EventBus | None], EventBus | None]) -> EventBus | None:
        async with self._lock:
            after = change(self.bus(*key))
            account, region, name = key
            if after is None:
                await self._store.write(
                    lambda tx: tx.run("event_bus_delete", account=account, region=region, name=name)
                )
                self._buses.pop(key, None)
            else:
                document = msgspec.json.encode(after).decode()
                await self._store.write(
                    lambda tx: tx.run("event_bus_put", account=account, region=region, name=name, document=document)
                )
                self._buses[key] = after
            return after

    async def _change_rule(self, key: RuleKey, change: Callable[[Rule | None], Rule | None]) -> Rule | None:
        account, region, bus, name = key
        named = {"account": account, "region": region, "bus": bus, "name": name}
        async with self._lock:
            before = self.rule(*key)
            after = change(before)

            def work(tx: Tx) -> None:
                if after is None:
                    tx.run("event_rule_delete", **named)
                    ticks.plan(tx, owner_of(key), None)
                    return
                tx.run("event_rule_put", **named, document=msgspec.json.encode(after).decode())
                if before is None or _timing(before) != _timing(after):
                    ticks.plan(tx, owner_of(key), planned(after, after.anchor))

            await self._store.write(work)
            if after is None:
                self._rules.get(key[:3], {}).pop(name, None)
                self._patterns.pop(key, None)
            else:
                self._keep(after)
                self._ticked()
            return after

    # Events.

    async def put(self, events: Sequence[PutEvent]) -> None:
        """Returns once everything that they cause is durable."""
        waiting = [one for put in events for one in self._caused(put)]
        kept = [row for put in events for row in self._archives.rows_for(put.bus, put.event)]
        if not waiting and not kept:
            return

        def work(tx: Tx) -> None:
            for target, event in waiting:
                self._send(tx, event, target.delivering)
            tx.run_many("archived_event_add", kept)

        await self._store.write(work)

    def replay(self, tx: Tx, bus: BusKey, events: Sequence[Mapping[str, Any]], rules: frozenset[str]) -> None:
        """replays.Deliver: what events of an archive cause. Runs in the store's thread."""
        for event in events:
            for target, caused in self._caused(PutEvent(bus=bus, event=event), rules):
                self._send(tx, caused, target.delivering)

    def _caused(self, put: PutEvent, rules: frozenset[str] = frozenset()) -> list[tuple[BusTarget, TargetEvent]]:
        """For each target of each rule that matches, what it is sent. rules: ARNs of those that count, none for all."""
        now = written(self._clock.now())
        return [
            (target, sent(rule, target, put.event, now, put.trace))
            for rule in self._matching(put)
            if not rules or rule.arn in rules
            for target in rule.targets
        ]

    async def receive(self, sent_event: TargetEvent) -> None:
        """An event whose target is a bus: an entry as PutEvents takes them. Raises TargetRefused.

        Another bus, a finished invocation or a schedule sends it; unlike a caller's, its source may be AWS's own.
        """
        _, _, _, region, account, name = sent_event.target_arn.split(":", 5)
        bus = self.bus(account, region, name.removeprefix("event-bus/"))
        if bus is None:
            raise TargetRefused("ResourceNotFoundException", f"Event bus {sent_event.target_arn} does not exist.")
        if not _may_put(bus, sent_event):
            raise TargetRefused("AccessDeniedException", f"Not authorized to put events on {sent_event.target_arn}.")
        try:
            entry = msgspec.json.decode(sent_event.body, type=_Entry)
            detail = msgspec.json.decode(entry.Detail, type=dict[str, Any])
        except (msgspec.DecodeError, RecursionError) as error:
            raise TargetRefused("MalformedDetail", f"The event is no entry of PutEvents: {error}") from None
        event = envelope(
            id=self._ids.uuid(),
            source=entry.Source,
            detail_type=entry.DetailType,
            account=sent_event.source_account or account,
            region=region,
            time=entry.Time or written(self._clock.now()),
            resources=entry.Resources,
            detail=detail,
        )
        attributes = sent_event.attributes
        trace = attributes.get("AWSTraceHeader", "")
        await self.put([PutEvent(bus=(account, region, bus.name), event=event, trace=trace, hopped=HOP in attributes)])

    def _matching(self, put: PutEvent) -> Iterable[Rule]:
        for rule in list(self._rules.get(put.bus, {}).values()):
            pattern = self._patterns.get(rule.key)
            if rule.enabled and pattern is not None and pattern.matches(put.event):
                yield replace(rule, targets=_first_hops(rule.targets)) if put.hopped else rule

    def fire(self, tx: Tx, owner: str, tick: datetime, now: datetime) -> Planned | None:
        """ticks.Firing for rules with a schedule. Runs in the store's thread."""
        account, region, bus, name = owner.partition(":")[2].split("/")
        rule = self.rule(account, region, bus, name)
        if rule is None or not rule.enabled or not rule.schedule:
            return None
        event = envelope(
            id=self._ids.uuid(),
            source="aws.events",
            detail_type="Scheduled Event",
            account=account,
            region=region,
            time=written(tick),
            resources=[rule.arn],
            detail={},
        )
        late_s = (now - tick).total_seconds()
        for target in rule.targets:
            if late_s <= target.delivering.age_s_max:
                self._send(tx, sent(rule, target, event, written(now)), target.delivering)
        return planned(rule, max(tick, now - ticks.GRACE))

    def _keep(self, rule: Rule) -> None:
        self._rules.setdefault(rule.key[:3], {})[rule.name] = rule
        if rule.pattern:
            self._patterns[rule.key] = compile_pattern(rule.pattern)
        else:
            self._patterns.pop(rule.key, None)

    async def _undisturbed(self, change: Coroutine[Any, Any, T]) -> T:
        """A change whose caller goes away is finished all the same: the store may have it already."""
        task = asyncio.get_running_loop().create_task(change)
        self._changes.add(task)
        task.add_done_callback(self._changes.discard)
        return await asyncio.shield(task)


def _may_put(bus: EventBus, event: TargetEvent) -> bool:
    """Within an account a bus takes everything; from another account what its policy allows."""
    if event.source_account in ("", bus.account):
        return True
    policy = ResourcePolicy.of(bus.policy) if bus.policy else None
    asker = Asker(
        account=event.source_account, arn=event.role_arn or f"arn:aws:iam::{event.source_account}:root",
        source_arn=event.source_arn, source_account=event.source_account,
    )  # fmt: skip
    return decide(policy, asker, "events:PutEvents", bus.arn) in (Decision.ALLOWED, Decision.DELEGATED)


def owner_of(key: RuleKey) -> str:
    return "rule:" + "/".join(key)


def planned(rule: Rule, after: datetime) -> Planned | None:
    """The rule's next tick after a moment."""
    if not rule.schedule or not rule.enabled:
        return None
    tick = schedule.next_tick(schedule.parse(rule.schedule, strict=True), after, anchor=rule.anchor)
    return None if tick is None else Planned(tick=tick, due=tick)


def _timing(rule: Rule) -> tuple[Any, ...]:
    return (rule.schedule, rule.enabled, rule.anchor)


def _first_hops(targets: Sequence[BusTarget]) -> tuple[BusTarget, ...]:
    """Without other buses: what one bus sent to another goes no further (spec: a chain of two, as on AWS)."""
    return tuple(target for target in targets if ":event-bus/" not in target.arn)
