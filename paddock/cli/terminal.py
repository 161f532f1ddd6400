"""Where a command writes, and how log lines look to people.

Colours only where a person looks: on a terminal, unless NO_COLOR is set. What is piped is text as it came.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TextIO

DIM, RED, YELLOW, BOLD, CYAN, PLAIN = "2", "31", "33", "1", "36", ""
_PLATFORM = re.compile(r"(START|END|INIT_START|EXTENSION|RESTORE_START|XRAY) ")
_NODE = re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+Z\t[\w-]+\t(TRACE|DEBUG|INFO|WARN|ERROR|FATAL)\t(.*)", re.DOTALL)
_BAD = re.compile(
    r"\[(ERROR|CRITICAL|FATAL)\]|Traceback \(most recent|.{0,60}Task timed out after|"
    r"RequestId: [\w-]+ Error:"
)
_LEVELS = {"ERROR": RED, "FATAL": RED, "CRITICAL": RED, "WARN": YELLOW, "WARNING": YELLOW, "DEBUG": DIM, "TRACE": DIM}


@dataclass(frozen=True, slots=True)
class Terminal:
    """out: answers. err: everything else."""

    out: TextIO
    err: TextIO
    is_out_for_people: bool
    has_colours: bool

    @classmethod
    def of(cls, out: TextIO, err: TextIO, environ: Mapping[str, str]) -> Terminal:
        people = out.isatty()
        return cls(out, err, people, people and not environ.get("NO_COLOR") and environ.get("TERM") != "dumb")

    def painted(self, text: str, colour: str) -> str:
        return f"\x1b[{colour}m{text}\x1b[0m" if self.has_colours and colour else text

    def say(self, text: str, colour: str = PLAIN) -> None:
        """To the person, not into what is piped."""
        print(self.painted(text, colour), file=self.err, flush=True)

    def log_line(self, message: str) -> str:
        """A log event as it is shown: every line of it, in the colour of what it is."""
        text = message.rstrip("\r\n").replace("\r\n", "\n").replace("\r", "\n")
        text = readable(text.replace("\N{NO-BREAK SPACE}", " "))  # AWS's client for Python indents with these
        return "\n".join(self.painted(line, colour_of(text)) for line in text.split("\n"))


def readable(text: str) -> str:
    """Node.js and JSON logs hold an error as one JSON object; people read a line and a stack."""
    node = _NODE.fullmatch(text)
    if node:
        head, _, tail = node[2].rpartition("\t")
        error = _object(tail)
        if "errorType" in error or "errorMessage" in error:
            return f"{node[1]} {head or 'Error'}\n{error_text(error)}".replace("\t", " ")
    record = _object(text)
    if isinstance(record.get("stackTrace"), list):
        return f"{record.get('level', 'ERROR')} {record.get('requestId', '')}\n{error_text(record)}"
    return text


def _object(text: str) -> dict[str, Any]:
    if not text.startswith("{"):
        return {}
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def colour_of(text: str) -> str:
    """Of a whole log event."""
    if _PLATFORM.match(text) or "LAMBDA_WARNING: " in text[:64]:
        return DIM
    if text.startswith("REPORT "):
        return RED if re.search(r"\tStatus: (error|timeout|failure)", text) else DIM
    node = _NODE.match(text)
    level = node[1] if node else re.split(r"\s", text, maxsplit=1)[0].strip("[]:")
    if level in _LEVELS:
        return _LEVELS[level]
    record = _object(text)
    if isinstance(record.get("level"), str):
        return _LEVELS.get(record["level"].upper(), PLAIN)
    return RED if _BAD.match(text) else PLAIN


def error_text(error: Mapping[str, Any]) -> str:
    """A function's error: what, then where, as its language shows it."""
    lines = [f"{error.get('errorType') or 'Error'}: {error.get('errorMessage', '')}"]
    stack = error.get("stackTrace") or error.get("trace") or error.get("stack") or []
    stack = stack.split("\n") if isinstance(stack, str) else stack
    lines += [line.rstrip("\n") for line in map(str, stack)]
    if len(lines) > 1 and lines[1].strip() == lines[0].strip():  # Node.js repeats the message in its stack
        del lines[1]
    cause = error.get("cause")
    if isinstance(cause, Mapping):
        lines.append("Caused by: " + error_text(cause))
    return "\n".join(lines)
