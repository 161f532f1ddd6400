"""How log lines and errors look to people."""

from __future__ import annotations

import io

import pytest

from paddock.cli.terminal import DIM, PLAIN, RED, YELLOW, Terminal, colour_of, error_text, readable


class Tty(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("line", "colour"),
    [
        ("START RequestId: 1 Version: 2", DIM),
        ("REPORT RequestId: 1\tDuration: 1 ms\t", DIM),
        ("REPORT RequestId: 1\tDuration: 1 ms\tStatus: timeout", RED),
        ("2026-01-01T00:00:00.000Z 1 Task timed out after 3.00 seconds", RED),
        ("[ERROR] KeyError: 'x'\nTraceback (most recent call last):", RED),
        ("[ERROR]\t2026-01-01T00:00:00.000Z\t1\tlogged", RED),
        ("[WARNING]\t2026-01-01T00:00:00.000Z\t\tLAMBDA_WARNING: Unhandled exception.", DIM),
        ("[WARNING]\t2026-01-01T00:00:00.000Z\t1\tmind", YELLOW),
        ("2026-01-01T00:00:00.000Z\t1-2\tERROR\tno", RED),
        ("2026-01-01T00:00:00.000Z\t1-2\tINFO\tyes", PLAIN),
        ('{"level": "error", "message": "x"}', RED),
        ("hello", PLAIN),
    ],
)
def test_colours(line: str, colour: str) -> None:
    assert colour_of(line) == colour


def test_colours_are_for_terminals_only() -> None:
    assert Terminal.of(Tty(), Tty(), {}).log_line("START x\n") == "\x1b[2mSTART x\x1b[0m"
    for terminal in (
        Terminal.of(io.StringIO(), io.StringIO(), {}),
        Terminal.of(Tty(), Tty(), {"NO_COLOR": "1"}),
        Terminal.of(Tty(), Tty(), {"TERM": "dumb"}),
    ):
        assert terminal.log_line("[ERROR] x\r\N{NO-BREAK SPACE} y\n") == "[ERROR] x\n  y"


def test_a_stack_is_lines() -> None:
    node = (
        '2026-01-01T00:00:00.000Z\t1-2\tERROR\tInvoke Error \t{"errorType":"TypeError","errorMessage":"no",'
        '"stack":["TypeError: no","    at handler (file:///var/task/index.mjs:2:9)"]}'
    )
    assert readable(node) == "ERROR Invoke Error \nTypeError: no\n    at handler (file:///var/task/index.mjs:2:9)"
    json_log = '{"level": "ERROR", "requestId": "7", "errorType": "K", "errorMessage": "m", "stackTrace": ["  at x"]}'
    assert readable(json_log) == "ERROR 7\nK: m\n  at x"
    for plain in ("text", "{no json", '{"a": 1}', "2026-01-01T00:00:00.000Z\t1-2\tINFO\t{}"):
        assert readable(plain) == plain
    caused = {"errorType": "A", "errorMessage": "a", "cause": {"errorType": "B", "errorMessage": "b"}}
    assert error_text(caused) == "A: a\nCaused by: B: b"
