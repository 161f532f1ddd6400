"""What a follower shows: every event once, in spite of late batches; and the lines of one invocation."""

from __future__ import annotations

import io
from datetime import UTC, datetime
from typing import Any

import pytest

from paddock.cli import logs
from paddock.cli.client import Client, Refused
from paddock.cli.terminal import Terminal

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
NOW_MS = int(NOW.timestamp() * 1000)


class FakeLogs:
    """filter_log_events over a list, two events a page."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []

    def add(self, at_ms: int, message: str, stream: str = "s") -> None:
        event = {"eventId": str(len(self.events)), "timestamp": at_ms, "message": message, "logStreamName": stream}
        self.events.append(event)

    def filter_log_events(self, *, startTime: int, nextToken: str = "0", **_: Any) -> dict[str, Any]:
        found = sorted((e for e in self.events if e["timestamp"] >= startTime), key=lambda e: e["timestamp"])
        at = int(nextToken)
        return {"events": found[at : at + 2], **({"nextToken": str(at + 2)} if at + 2 < len(found) else {})}


def reader(fake: FakeLogs, since_ms: int = 0) -> logs.Reader:
    made = logs.Reader(Client({}), logs.Question(group="/g", since_ms=since_ms))
    made._logs = fake
    return made


def messages(events: list[dict[str, Any]]) -> list[str]:
    return [event["message"] for event in events]


def test_each_event_once() -> None:
    fake = FakeLogs()
    one = reader(fake)
    for number in range(5):
        fake.add(NOW_MS + number, str(number))
    assert messages(one.new()) == ["0", "1", "2", "3", "4"]
    assert one.new() == []
    fake.add(NOW_MS + 2, "late, of another stream")
    fake.add(NOW_MS + 4, "of the same moment")
    fake.add(NOW_MS + logs.LATENESS_MS * 2, "later")
    assert messages(one.new()) == ["late, of another stream", "of the same moment", "later"]
    assert one.new() == []
    assert list(one._seen) == ["7"], "what is out of reach is forgotten"


def test_the_lines_of_one_invocation() -> None:
    wanted = logs.OfRequest("id-1")

    def takes(message: str, stream: str = "s") -> bool:
        return wanted.takes({"message": message, "logStreamName": stream})

    assert [
        takes("START RequestId: id-0 Version: 1"), takes("not mine"), takes("START RequestId: id-1 Version: 1"),
        takes("mine"), takes("not mine", "t"), takes("END RequestId: id-1"), takes("REPORT RequestId: id-1\t"),
        takes("of an extension, after it"), takes("id-1 elsewhere", "t"),
    ] == [False, False, True, True, False, True, True, False, True]  # fmt: skip


def test_since_when() -> None:
    assert logs.since("90s", NOW) == NOW_MS - 90_000
    assert logs.since("2h", NOW) == NOW_MS - 7_200_000
    assert logs.since("2026-03-01T11:00", NOW) == NOW_MS - 3_600_000
    assert logs.since("2026-03-01T12:00+01:00", NOW) == NOW_MS - 3_600_000
    for wrong in ("yesterday", "10", "1y", ""):
        with pytest.raises(ValueError, match="isoformat"):
            logs.since(wrong, NOW)


def test_whose_group() -> None:
    arn = "arn:aws:lambda:us-east-1:000000000000:function:hello"
    assert {logs.group_of(one) for one in ("hello", "hello:live", arn, arn + ":live")} == {"/aws/lambda/hello"}
    assert logs.group_of("/my/group") == "/my/group"


def test_following_outlives_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """It waits for a server that is gone and for a log that is not there; any other refusal ends it."""
    answers: list[Any] = [
        Refused("No answer."), Refused("No answer."), Refused("none", "ResourceNotFoundException"),
        [{"eventId": "1", "timestamp": 1, "message": "hear me\n", "logStreamName": "s"}], Refused("no", "AccessDenied"),
    ]  # fmt: skip

    def new(_: object) -> Any:
        answer = answers.pop(0)
        if isinstance(answer, Refused):
            raise answer
        return answer

    monkeypatch.setattr(logs.Reader, "new", new)
    out, err = io.StringIO(), io.StringIO()
    question = logs.Question(group="/g", since_ms=0)
    with pytest.raises(Refused, match="no"):
        logs.follow(Client({}), question, Terminal.of(out, err, {}), lambda _: False)
    assert out.getvalue() == "hear me\n"
    assert err.getvalue().splitlines() == [
        "No answer. Waiting for it.", "It has no log yet; waiting for its first line.", "The server answers again."
    ]  # fmt: skip
