"""`paddock logs`: a function's log, once or followed, through CloudWatch Logs' FilterLogEvents.

Following asks again and again from a little before the newest line seen, since lines of one moment may be stored in
two batches, and leaves out what has been shown: each event has an identity. A server that goes away and comes back is
waited for; its log is on disk. What is stored later than LATENESS_MS after its own time, which only PutLogEvents of a
client of one's own can do, is not seen.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from paddock.cli.client import Client, Refused, telling
from paddock.cli.terminal import DIM, YELLOW, Terminal

LATENESS_MS = 15_000
POLL_INTERVAL_S = 0.25
PAGE_EVENTS_MAX = 10_000
UNIT_MS = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000}

Pause = Callable[[float], bool]
"""Waits that long; True when it is time to end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """group: its name. since_ms: since 1970. request_id: lines of that invocation only. has_times: show them."""

    group: str
    since_ms: int
    pattern: str = ""
    request_id: str = ""
    has_times: bool = False


def group_of(function: str) -> str:
    """A function's log group; a name with slashes is one already. Qualifiers do not matter."""
    if "/" in function:
        return function
    if function.startswith("arn:"):
        function = function.split(":")[6]
    return "/aws/lambda/" + function.split(":", 1)[0]


def since(text: str, now: datetime) -> int:
    """`10m`, `2h` or an ISO 8601 time, in milliseconds since 1970. Raises ValueError."""
    match = re.fullmatch(r"(\d{1,6})([smhdw])", text)
    if match:
        return int(now.timestamp() * 1000) - int(match[1]) * UNIT_MS[match[2]]
    moment = datetime.fromisoformat(text)
    return int((moment if moment.tzinfo else moment.replace(tzinfo=now.tzinfo)).timestamp() * 1000)


@dataclass(slots=True)
class Reader:
    """What is new each time that one asks."""

    client: Client
    question: Question
    _seen: dict[str, int] = field(default_factory=dict)
    _newest_ms: int = 0
    _stream_of_request: str = ""
    _logs: Any = None

    def new(self) -> list[dict[str, Any]]:
        """Events not returned before, in order of time. Raises Refused."""
        start_ms = max(self.question.since_ms, self._newest_ms - LATENESS_MS)
        found = [event for event in self._pages(start_ms) if event["eventId"] not in self._seen]
        for event in found:
            self._seen[event["eventId"]] = event["timestamp"]
            self._newest_ms = max(self._newest_ms, event["timestamp"])
        horizon = self._newest_ms - LATENESS_MS
        self._seen = {known: at_ms for known, at_ms in self._seen.items() if at_ms >= horizon}
        return found

    def _pages(self, start_ms: int) -> Iterator[dict[str, Any]]:
        given: dict[str, Any] = {"logGroupName": self.question.group, "startTime": start_ms, "limit": PAGE_EVENTS_MAX}
        if self.question.pattern:
            given["filterPattern"] = self.question.pattern
        while True:
            with telling(self.client.endpoint):
                self._logs = self._logs or self.client.of("logs")
                page = self._logs.filter_log_events(**given)
            yield from page["events"]
            if not page.get("nextToken"):
                return
            given["nextToken"] = page["nextToken"]


class OfRequest:
    """Which lines belong to one invocation: those that name it, and those of its stream between START and END."""

    def __init__(self, request_id: str) -> None:
        self._id = request_id
        self._inside: set[str] = set()

    def takes(self, event: dict[str, Any]) -> bool:
        if not self._id:
            return True
        stream, message = event["logStreamName"], event["message"]
        names_it = self._id in message
        if message.startswith("START RequestId: ") or '"platform.start"' in message:
            (self._inside.add if names_it else self._inside.discard)(stream)
        taken = names_it or stream in self._inside
        if names_it and (message.startswith("REPORT ") or '"platform.report"' in message):
            self._inside.discard(stream)
        return taken


def show(events: list[dict[str, Any]], wanted: OfRequest, question: Question, terminal: Terminal) -> None:
    for event in events:
        if wanted.takes(event):
            text = terminal.log_line(event["message"])
            if question.has_times:
                stamp = (
                    datetime.fromtimestamp(event["timestamp"] / 1000).astimezone().isoformat(timespec="milliseconds")
                )
                text = f"{terminal.painted(stamp, DIM)}  {text}"
            print(text, file=terminal.out)
    terminal.out.flush()


def once(client: Client, question: Question, terminal: Terminal) -> int:
    """The exit status. Raises Refused."""
    show(Reader(client, question).new(), OfRequest(question.request_id), question, terminal)
    return 0


def follow(client: Client, question: Question, terminal: Terminal, pause: Pause) -> int:
    """Until `pause` says that it is time to end."""
    reader, wanted = Reader(client, question), OfRequest(question.request_id)
    trouble = ""
    while True:
        try:
            show(reader.new(), wanted, question, terminal)
            if trouble:
                terminal.say("The server answers again.", DIM)
            trouble = ""
        except Refused as error:
            if error.code not in ("", "ResourceNotFoundException"):
                raise
            if trouble != error.code + "!":
                trouble = error.code + "!"
                waiting = "It has no log yet; waiting for its first line." if error.code else f"{error} Waiting for it."
                terminal.say(waiting, YELLOW)
        if pause(POLL_INTERVAL_S):
            return 0
