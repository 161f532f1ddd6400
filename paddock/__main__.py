"""The command `paddock`: `up` and `serve` go to app, the rest is small."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Sequence

from paddock import __version__, app
from paddock.cli import arguments, client, developing, health, images, sign
from paddock.config import Config, ConfigError
from paddock.worker.runtimes import choose
from paddock.worker.sandbox import doctor

READER_LEFT = 128 + signal.SIGPIPE  # as a shell reports a program that this signal has ended


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; the exit status. 2 means that the command line or a setting is wrong."""
    try:
        try:
            return _run(arguments.parser().parse_args(argv))
        finally:
            sys.stdout.flush()
    except ConfigError as error:
        print(f"paddock: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # `paddock runtimes | head -1`: who reads has seen enough
        with open(os.devnull, "w") as nothing:
            os.dup2(nothing.fileno(), sys.stdout.fileno())  # or Python complains when it ends
        return READER_LEFT


def _run(given: argparse.Namespace) -> int:
    match given.command:
        case "up":
            return app.up(arguments.config_of(given, os.environ), os.environ)
        case "serve":
            return app.serve()
        case "doctor":
            ready = app.bring.ready(_config(given))
            python = [runtime.name for runtime in ready if runtime.family.family == "python"]
            report = doctor.examine(python, choose.homes(ready))
            print(doctor.as_json(report) if given.json else doctor.as_text(report))
            return 0 if report.isolated else 1
        case "runtimes":
            return app.bring.runtimes(given, _config(given), app.time_and_chance()[0].now())
        case "userland":
            return app.bring.userland(given, _config(given), app.time_and_chance()[0].now())
        case "health":
            try:
                print(health.ask(given.endpoint))
            except health.Unhealthy as error:
                print(f"paddock: {error}", file=sys.stderr)
                return 1
        case command if command in developing.COMMANDS:
            return developing.run(given, os.environ, *app.time_and_chance())
        case "images":
            try:
                endpoint = client.endpoint_in(os.environ, given.endpoint)
                print(images.pruned(endpoint) if given.action == "prune" else images.listed(endpoint, given.json))
            except images.CannotAsk as error:
                print(f"paddock: {error}", file=sys.stderr)
                return 1
        case "sign":
            return _signed(given)
        case "version":
            print(f"paddock {__version__}")
    return 0


def _config(given: argparse.Namespace) -> Config:
    """The settings of a command that is not the server: where runtimes lie. Raises ConfigError."""
    return Config.load({"runtimes_dir": given.runtimes_dir}, os.environ, None)


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


if __name__ == "__main__":
    sys.exit(main())
