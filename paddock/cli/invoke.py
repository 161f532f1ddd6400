"""`paddock invoke`: an event in, the answer out.

The answer goes to standard output as the function gave it, indented where a person looks. The log and what else there
is to say go to standard error, so that the answer can be piped. Exit status 1: the function ended with an error.
"""

from __future__ import annotations

import base64
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from paddock.cli import templates
from paddock.cli.client import Client, Refused, telling
from paddock.cli.templates import Surroundings, Unset
from paddock.cli.terminal import RED, Terminal, error_text
from paddock.interfaces import Clock, Ids

FUNCTION_ERROR = 1
EVENT_BYTES_MAX = 6 * 1024 * 1024 + 1024 * 1024  # the server refuses what is too large; this keeps us from reading on


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What is typed. event: a file, "-" or a template's name. payload: JSON instead of one."""

    function: str
    event: str | None = None
    payload: str | None = None
    sets: Sequence[str] = ()
    qualifier: str | None = None
    is_event: bool = False
    is_streamed: bool = False
    wants_log: bool = False
    is_one_of_many: bool = False
    """The answer is a line among others."""


def payload_of(wanted: Wanted, around: Surroundings) -> bytes:
    """The event's bytes. Raises Unset."""
    if wanted.payload is not None:
        return _set(wanted.payload.encode(), wanted.sets, "--payload")
    if wanted.event is None:
        return _set(b"{}", wanted.sets, "the event")
    if wanted.event == "-":
        return _set(sys.stdin.buffer.read(EVENT_BYTES_MAX), wanted.sets, "standard input")
    path = Path(wanted.event)
    if path.is_file():
        try:
            with path.open("rb") as file:
                return _set(file.read(EVENT_BYTES_MAX), wanted.sets, str(path))
        except OSError as error:
            raise Unset(f"{path}: {error.strerror}") from error
    template = templates.load(wanted.event)
    return json.dumps(templates.event_of(template, wanted.sets, around), ensure_ascii=False).encode()


def _set(data: bytes, sets: Sequence[str], origin: str) -> bytes:
    """What is set in an event of one's own; untouched where nothing is."""
    try:
        event = json.loads(data or b"{}")
    except ValueError as error:
        raise Unset(f"{origin} is not JSON: {error}") from error
    if not sets:
        return data
    for one in sets:
        templates.put(event, *templates.split(one))
    return json.dumps(event, ensure_ascii=False).encode()


def surroundings(client: Client, clock: Clock, ids: Ids) -> Surroundings:
    return Surroundings(account=client.account, region=client.region, now=clock.now(), ids=ids)


def invoke(client: Client, wanted: Wanted, payload: bytes, terminal: Terminal) -> int:
    """The exit status. Raises Refused."""
    given: dict[str, Any] = {"FunctionName": wanted.function, "Payload": payload}
    if wanted.qualifier:
        given["Qualifier"] = wanted.qualifier
    if wanted.wants_log:
        given["LogType"] = "Tail"
    with telling(client.endpoint):
        lambda_ = client.of("lambda")
        if wanted.is_streamed:
            return _streamed(lambda_.invoke_with_response_stream(**given)["EventStream"], terminal)
        if wanted.is_event:
            answer = lambda_.invoke(**given, InvocationType="Event")
            terminal.say(f"accepted as {answer['ResponseMetadata']['RequestId']}")
            return 0
        answer = lambda_.invoke(**given)
        body: bytes = answer["Payload"].read()
    _show_log(answer.get("LogResult"), terminal)
    if "FunctionError" in answer:
        return _failed(body, wanted, terminal)
    if wanted.is_one_of_many:
        terminal.say(f"answer: {body.decode(errors='replace')}")
    else:
        _write(pretty(body) if terminal.is_out_for_people else body, terminal)
    return 0


def _streamed(events: Iterable[Mapping[str, Any]], terminal: Terminal) -> int:
    """Each piece as it comes."""
    status = 0
    for event in events:
        if "PayloadChunk" in event:
            _write(event["PayloadChunk"]["Payload"], terminal, newline=False)
        elif "InvokeComplete" in event:
            done = event["InvokeComplete"]
            if terminal.is_out_for_people:
                print(file=terminal.out, flush=True)
            _show_log(done.get("LogResult"), terminal)
            if done.get("ErrorCode"):
                status = FUNCTION_ERROR
                _tell_error(str(done.get("ErrorDetails") or done["ErrorCode"]), terminal)
    return status


def _failed(body: bytes, wanted: Wanted, terminal: Terminal) -> int:
    if not terminal.is_out_for_people and not wanted.is_one_of_many:
        _write(body, terminal)
    _tell_error(body.decode(errors="replace"), terminal)
    return FUNCTION_ERROR


def _tell_error(text: str, terminal: Terminal) -> None:
    try:
        error = json.loads(text)
    except ValueError:
        error = None
    terminal.say(error_text(error) if isinstance(error, dict) else text, RED)


def _show_log(encoded: str | None, terminal: Terminal) -> None:
    if encoded:
        text = base64.b64decode(encoded).decode(errors="replace")
        for line in text.rstrip("\n").split("\n"):
            print(terminal.log_line(line), file=terminal.err, flush=True)


def pretty(body: bytes) -> bytes:
    """Indented, as far as it is JSON."""
    try:
        return json.dumps(json.loads(body), indent=2, ensure_ascii=False).encode()
    except ValueError:
        return body


def _write(body: bytes, terminal: Terminal, newline: bool = True) -> None:
    terminal.out.flush()
    binary = getattr(terminal.out, "buffer", None)
    data = body + (b"\n" if newline and terminal.is_out_for_people else b"")
    if binary is None:
        terminal.out.write(data.decode(errors="replace"))
    else:
        binary.write(data)
        binary.flush()


__all__ = ["FUNCTION_ERROR", "Refused", "Unset", "Wanted", "invoke", "payload_of", "pretty", "surroundings"]
