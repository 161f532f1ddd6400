"""The command `paddock`: `up` and `serve` go to app, the rest is small."""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
from collections.abc import Sequence

from paddock import __version__, app
from paddock.cli import arguments, health, sign
from paddock.cli.columns import columns
from paddock.config import ConfigError
from paddock.worker.runtimes import discovery, jars, packages
from paddock.worker.sandbox import doctor

READER_LEFT = 128 + signal.SIGPIPE  # as a shell reports a program that this signal has ended


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; the exit status. 2 means that the command line or a setting is wrong."""
    try:
        try:
            return _run(arguments.parser().parse_args(argv))
        finally:
            sys.stdout.flush()
    except BrokenPipeError:  # `paddock runtimes | head -1`: who reads has seen enough
        with open(os.devnull, "w") as nothing:
            os.dup2(nothing.fileno(), sys.stdout.fileno())  # or Python complains when it ends
        return READER_LEFT


def _run(given: argparse.Namespace) -> int:
    match given.command:
        case "up":
            try:
                config = arguments.config_of(given, os.environ)
            except ConfigError as error:
                print(f"paddock: {error}", file=sys.stderr)
                return 2
            return app.up(config, os.environ)
        case "serve":
            return app.serve()
        case "doctor":
            python = [runtime.name for runtime in _ready() if runtime.family.family == "python"]
            report = doctor.examine(python)
            print(doctor.as_json(report) if given.json else doctor.as_text(report))
            return 0 if report.isolated else 1
        case "runtimes":
            if given.action == "prepare":
                return _prepare(given.maven)
            print("\n".join(_listed()))
        case "health":
            try:
                print(health.ask(given.endpoint))
            except health.Unhealthy as error:
                print(f"paddock: {error}", file=sys.stderr)
                return 1
        case "sign":
            return _signed(given)
        case "version":
            print(f"paddock {__version__}")
    return 0


def _signed(given: argparse.Namespace) -> int:
    clock, ids = app.time_and_chance()
    how = sign.Signing(
        data_dir=given.data_dir,
        profile=given.profile,
        account=given.account,
        region=given.region,
        days=given.days,
        now_s=int(clock.now().timestamp()),
        hex=ids.hex,
    )
    target = given.output or given.package.with_suffix(".signed.zip")
    try:
        print(sign.sign(given.package, target, how))
    except sign.CannotSign as error:
        print(f"paddock: {error}", file=sys.stderr)
        return 1
    return 0


def _ready() -> list[discovery.Runtime]:
    """The runtimes that can start here."""
    return [runtime for runtime in discovery.runtimes() if runtime.interpreter and not packages.available(runtime)]


def _prepare(maven: str) -> int:
    """Everything that can be prepared is, whatever cannot."""
    status = 0
    for runtime in discovery.runtimes():
        try:
            print(packages.prepare(runtime, maven))
        except (jars.CannotFetch, OSError, subprocess.CalledProcessError) as error:
            print(f"{runtime.name}: {error}", file=sys.stderr)
            status = 1
    return status


def _listed() -> list[str]:
    """One line a runtime: its exact version, where it lives, whether it is ready or what to do."""
    rows = [("RUNTIME", "VERSION", "USERLAND", "STATE")]
    for runtime in discovery.runtimes():
        lacks = _lack(runtime)
        place = "" if lacks else "host"
        state = f"missing: {lacks}" if lacks else f"ready: {runtime.executable}"
        rows.append((runtime.name, "" if lacks else runtime.version, place, state))
    return columns(rows)


def _lack(runtime: discovery.Runtime) -> str:
    """What to do before the runtime can start here; "" when it can."""
    if runtime.interpreter is not None:
        return packages.available(runtime)
    version = runtime.name.removeprefix(runtime.family.family).removesuffix(".x")
    wanted = runtime.family.interpreter.format(version=version)
    return f"put {wanted if version in wanted else f'{wanted} {version}'} on PATH"


if __name__ == "__main__":
    sys.exit(main())
