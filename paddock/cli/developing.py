"""The commands of a developer's day: dev, invoke, events, logs. What can be typed, and who does it."""

from __future__ import annotations

import argparse
import signal
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from paddock.cli import dev, invoke, logs, templates
from paddock.cli.client import ENDPOINT_VARIABLE, Client, Refused
from paddock.cli.dev import CannotWatch, Unclear
from paddock.cli.templates import Unset
from paddock.cli.terminal import Terminal
from paddock.interfaces import Clock, Ids

COMMANDS = ("dev", "invoke", "events", "logs")
WRONG = 2
REFUSED = 3
INTERRUPTED = 130

_STATUS = """\
exit status: 0 done; 1 the function ended with an error; 2 the command line is wrong; 3 no server answers, or it
refuses."""

_DEV = """\
examples:
  paddock dev hello/                                    guess what it is, make it a function, follow its log
  paddock dev hello/ --event s3-put --set bucket=in     and invoke it with this event at each save
  paddock dev hello/ --debug                            wait for a debugger before each start
  paddock dev hello/ --env STAGE=dev --env-file .env --timeout 30 --memory 512

A server that may mount the directory has it in its setting dev_directories; one that this command starts has. Others
are sent each save. Python's debugger is your own debugpy: pip install debugpy.

exit status: 0 ended by Ctrl-C; 1 the directory is gone; 2 the command line is wrong, or it is unclear what the
directory is; 3 the server refuses."""

_INVOKE = f"""\
examples:
  paddock invoke hello
  paddock invoke hello --payload '{{"name": "you"}}'
  paddock invoke thumbnails --event s3-put --set bucket=pictures --set key=horse.jpg --log
  paddock invoke worker --event sqs --set 'body={{"horse": 7}}' --async
  paddock events sqs | jq '.Records[0].body = "changed"' | paddock invoke worker --event -

{_STATUS}"""

_EVENTS = f"""\
examples:
  paddock events                                        what there is, with the parameters of each
  paddock events s3-put --set bucket=pictures           one of them, as JSON
  paddock events cloudwatch-logs --set awslogs.data.logGroup=/aws/lambda/x

{_STATUS}"""

_LOGS = """\
examples:
  paddock logs hello --since 1h
  paddock logs hello --follow
  paddock logs hello --filter '?ERROR ?WARN'
  paddock logs /my/own/group --times

exit status: 0 done, or ended by Ctrl-C; 2 the command line is wrong; 3 no server answers, or it refuses."""


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Their parsers."""
    _add_dev(_command(commands, "dev", "run a directory as a function and load it anew at each save", _DEV))
    _add_invoke(_command(commands, "invoke", "invoke a function with an event of your own or of a template", _INVOKE))
    events = _command(commands, "events", "list the event templates, or print one", _EVENTS)
    events.add_argument("template", nargs="?", help="its name; without one, all are listed")
    _add_sets(events)
    _add_logs(_command(commands, "logs", "print a function's log, or follow it", _LOGS))


def _command(
    commands: argparse._SubParsersAction[argparse.ArgumentParser], name: str, about: str, epilog: str
) -> argparse.ArgumentParser:
    command = commands.add_parser(
        name, help=about, description=about[0].upper() + about[1:] + ".", epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    command.add_argument(
        "--endpoint", metavar="URL", help=f"the server's; default: {ENDPOINT_VARIABLE}, else where `paddock up` listens"
    )
    return command


def _add_sets(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--set", action="append", default=[], dest="sets", metavar="PATH=VALUE",
        help="a template's parameter, or a place in the event such as Records.0.body; may be repeated",
    )  # fmt: skip


def _add_dev(command: argparse.ArgumentParser) -> None:
    command.add_argument("directory", type=Path, metavar="DIR", help="where its code lies")
    command.add_argument("--name", default="", metavar="N", help="the function's; default: the directory's")
    command.add_argument("--runtime", default="", metavar="R", help="default: guessed, the newest that the server has")
    command.add_argument("--handler", default="", metavar="H", help="default: guessed")
    command.add_argument("--env", action="append", default=[], metavar="K=V", help="a variable; may be repeated")
    command.add_argument("--env-file", type=Path, metavar="F", help="variables, a line each")
    command.add_argument("--timeout", type=int, metavar="S", help="in seconds; default: as it is, or Lambda's")
    command.add_argument("--memory", type=int, metavar="MB", help="default: as it is, or Lambda's")
    command.add_argument("--event", metavar="FILE|TEMPLATE", help="invoke it with this at the start and at each save")
    _add_sets(command)
    command.add_argument(
        "--debug", nargs="?", type=int, const=-1, metavar="PORT",
        help="let a debugger in at this port of loopback, and suspend the timeout; default: 5678 (Python), 9229 (Node)",
    )  # fmt: skip


def _add_invoke(command: argparse.ArgumentParser) -> None:
    command.add_argument("function", nargs="?", help="its name or ARN")
    what = command.add_mutually_exclusive_group()
    what.add_argument("--event", metavar="FILE|TEMPLATE|-", help="a JSON file, a template, or standard input")
    what.add_argument("--payload", metavar="JSON", help="the event itself; default: {}")
    what.add_argument("--list-templates", action="store_true", help="the same as `paddock events`")
    _add_sets(command)
    command.add_argument("--qualifier", metavar="Q", help="a version or an alias")
    how = command.add_mutually_exclusive_group()
    how.add_argument("--async", action="store_true", dest="is_event", help="queue the event, wait for no answer")
    how.add_argument("--stream", action="store_true", help="print a streamed answer piece by piece")
    command.add_argument("--log", action="store_true", help="print the end of its log to standard error")


def _add_logs(command: argparse.ArgumentParser) -> None:
    command.add_argument("function", help="its name or ARN, or a log group's name with a slash in it")
    command.add_argument(
        "--follow", "-f", action="store_true", help="go on until Ctrl-C, also when the server restarts"
    )
    command.add_argument(
        "--since", default="10m", metavar="WHEN", help="10m, 2h, 7d or an ISO 8601 time; default: %(default)s"
    )
    command.add_argument("--filter", default="", metavar="PATTERN", help="in the filter syntax of CloudWatch Logs")
    command.add_argument("--request-id", default="", metavar="ID", help="the lines of one invocation only")
    command.add_argument("--times", action="store_true", help="when each line was written")


def run(given: argparse.Namespace, environ: Mapping[str, str], clock: Clock, ids: Ids) -> int:
    """Run one of COMMANDS; the exit status."""
    terminal = Terminal.of(sys.stdout, sys.stderr, environ)
    try:
        client = Client(environ, given.endpoint)
        if given.command == "dev":
            return _dev(given, client, terminal, clock, ids, environ)
        if given.command == "logs":
            return _logs(given, client, terminal, clock)
        if given.command == "events" or given.list_templates:
            return _events(given, client, clock, ids)
        return _invoke(given, client, terminal, clock, ids)
    except (Unset, Unclear) as error:
        print(f"paddock: {error}", file=sys.stderr)
        return WRONG
    except (Refused, CannotWatch) as error:
        print(f"paddock: {error}", file=sys.stderr)
        return REFUSED
    except KeyboardInterrupt:
        return INTERRUPTED


def _dev(
    given: argparse.Namespace, client: Client, terminal: Terminal, clock: Clock, ids: Ids, environ: Mapping[str, str]
) -> int:
    asked = dev.Asked(
        directory=given.directory.resolve(), name=given.name, runtime=given.runtime, handler=given.handler,
        environment=dev.variables(given.env, given.env_file), timeout_s=given.timeout, memory_mb=given.memory,
        event=given.event, sets=tuple(given.sets), debug_port=given.debug,
    )  # fmt: skip
    if asked.event is not None:
        wanted = invoke.Wanted(function="", event=asked.event, sets=asked.sets)
        invoke.payload_of(wanted, invoke.surroundings(client, clock, ids))  # a mistake in it is told before anything
    session = dev.Session(asked, client, terminal, clock, ids, environ)
    with _until_told(session.end):
        return session.run()


@contextmanager
def _until_told(end: threading.Event) -> Iterator[None]:
    """Ctrl-C and SIGTERM set it, so that what was begun is ended in order; a second one ends at once.

    Also where a shell has started us in the background and so told us to ignore the first.
    """

    def told(number: int, _: object) -> None:
        if end.is_set():
            raise KeyboardInterrupt
        end.set()

    before = {number: signal.signal(number, told) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _invoke(given: argparse.Namespace, client: Client, terminal: Terminal, clock: Clock, ids: Ids) -> int:
    if not given.function:
        raise Unset("which function? Write: paddock invoke FUNCTION.")
    wanted = invoke.Wanted(
        function=given.function, event=given.event, payload=given.payload, sets=given.sets, qualifier=given.qualifier,
        is_event=given.is_event, is_streamed=given.stream, wants_log=given.log,
    )  # fmt: skip
    payload = invoke.payload_of(wanted, invoke.surroundings(client, clock, ids))
    return invoke.invoke(client, wanted, payload, terminal)


def _events(given: argparse.Namespace, client: Client, clock: Clock, ids: Ids) -> int:
    name = given.template if given.command == "events" else None
    if name is None:
        print("\n".join(templates.listed()))
        return 0
    wanted = invoke.Wanted(function="", event=name, sets=given.sets)
    print(invoke.pretty(invoke.payload_of(wanted, invoke.surroundings(client, clock, ids))).decode())
    return 0


def _logs(given: argparse.Namespace, client: Client, terminal: Terminal, clock: Clock) -> int:
    try:
        since_ms = logs.since(given.since, clock.now())
    except ValueError:
        raise Unset(f"--since {given.since}: write 90s, 10m, 2h, 7d or a time such as 2026-03-01T07:00.") from None
    question = logs.Question(
        group=logs.group_of(given.function), since_ms=since_ms, pattern=given.filter, request_id=given.request_id,
        has_times=given.times,
    )  # fmt: skip
    if not given.follow:
        return logs.once(client, question, terminal)
    end = threading.Event()
    with _until_told(end):
        return logs.follow(client, question, terminal, end.wait)
