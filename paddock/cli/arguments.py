"""The command line: what can be typed, and what `--help` says about it.

The flags of `up` are the settings themselves, so a new field of Config is a flag with its documentation at once.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path

from paddock.cli import developing
from paddock.cli.client import ENDPOINT_VARIABLE
from paddock.config import FILE_VARIABLE, Config, default_shown, flag_of, settings

FIRST = ("host", "port", "data_dir", "account", "region", "log_level", "isolation")

EPILOG = """\
Start it, and point any AWS client at it:

  paddock up
  export AWS_ENDPOINT_URL=http://127.0.0.1:4566
  export AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test AWS_DEFAULT_REGION=us-east-1
  aws lambda list-functions
"""

MAVEN = "https://repo1.maven.org/maven2"
DEBIAN = "trixie"


def parser() -> argparse.ArgumentParser:
    """The parser of the `paddock` command."""
    top = argparse.ArgumentParser(
        prog="paddock",
        description="A self-hosted serverless compute service that speaks AWS Lambda's own API.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = top.add_subparsers(dest="command", metavar="COMMAND", required=True)

    up = commands.add_parser("up", help="start the server and keep it in the foreground")
    _add_settings(up)

    doctor = commands.add_parser("doctor", help="what this machine can enforce, what is lost, how to fix it")
    _add_runtimes_dir(doctor)
    doctor.add_argument("--json", action="store_true", help="for scripts; exit status 0: functions can run isolated")

    _add_runtimes(commands.add_parser("runtimes", help="the interpreters of functions: which are here, and add more"))
    _add_userland(commands.add_parser("userland", help="the Linux root that functions see: build one of their own"))

    health = commands.add_parser("health", help="ask a running server how it is; exit status 0: it serves")
    health.add_argument("--endpoint", default=endpoint_of(Config()), help="default: %(default)s")

    developing.add(commands)
    _add_images(commands.add_parser("images", help="the container images a running server has pulled; prune them"))
    _add_sign(commands.add_parser("sign", help="sign a package for functions with a code signing configuration"))
    commands.add_parser("version", help="print the version")
    commands.add_parser("serve")  # the server half of `up`, started by the jailer; not for people, so without help
    return top


def _add_runtimes(runtimes: argparse.ArgumentParser) -> None:
    runtimes.add_argument(
        "action",
        nargs="?",
        choices=("list", "add", "prepare"),
        default="list",
        help="add: bring an interpreter that is not here; prepare: fetch what functions of older Pythons and of Java "
        "find beside their code",
    )
    runtimes.add_argument("names", nargs="*", metavar="RUNTIME", help="of add: such as nodejs22.x or python3.14")
    _add_runtimes_dir(runtimes)
    runtimes.add_argument("--maven", default=MAVEN, help="the Maven repository to fetch from (default: %(default)s)")
    runtimes.add_argument("--registry", metavar="URL", default="", help="of npm, where there is no `npm` to know one")
    runtimes.add_argument("--mirror", metavar="URL", help="of Debian; default: the one that apt uses here")


def _add_userland(userland: argparse.ArgumentParser) -> None:
    userland.add_argument(
        "action",
        nargs="?",
        choices=("list", "build", "prune"),
        default="list",
        help="build: a minimal root of Debian packages, by root, with debootstrap; what serves is replaced by a newer "
        "one at the next start. prune: remove those that nothing uses any more",
    )
    _add_runtimes_dir(userland)
    userland.add_argument("--release", default=DEBIAN, help="of Debian (default: %(default)s)")
    userland.add_argument("--mirror", metavar="URL", help="of Debian; default: the one that apt uses here")


def _add_runtimes_dir(command: argparse.ArgumentParser) -> None:
    command.add_argument("--runtimes-dir", metavar="DIRECTORY", help=settings()["runtimes_dir"].doc)


def _add_images(images: argparse.ArgumentParser) -> None:
    images.add_argument(
        "action",
        nargs="?",
        choices=("list", "prune"),
        default="list",
        help="list: each with its size, how much of it others share, and the functions that use it; "
        "prune: remove what no function and no version needs",
    )
    images.add_argument(
        "--endpoint", metavar="URL", help=f"the server's; default: {ENDPOINT_VARIABLE}, else where `paddock up` listens"
    )
    images.add_argument("--json", action="store_true", help="of list: for scripts")


def _add_sign(sign: argparse.ArgumentParser) -> None:
    sign.add_argument("package", type=Path, help="a zip file; the signed one is written beside it")
    sign.add_argument("--output", type=Path, metavar="FILE", help="default: PACKAGE with .signed.zip at its end")
    sign.add_argument("--profile", required=True, metavar="NAME", help="a signing profile; made at its first use")
    sign.add_argument("--days", type=int, default=4_000, help="how long the signature counts; default: %(default)s")
    for name in ("data_dir", "account", "region"):
        default = getattr(Config(), name)
        sign.add_argument(
            flag_of(name), dest=name, type=type(default) if name != "data_dir" else Path, default=default,
            metavar="VALUE", help="as of `paddock up`; default: %(default)s",
        )  # fmt: skip


def _add_settings(up: argparse.ArgumentParser) -> None:
    up.add_argument("--config", type=Path, metavar="FILE", help=f"a TOML file of settings; also {FILE_VARIABLE}")
    common = up.add_argument_group("settings (also PADDOCK_* variables; see docs/settings.md)")
    more = up.add_argument_group("more settings")
    for name, setting in settings().items():
        group = common if name in FIRST else more
        help_text = f"{setting.doc} Takes {setting.kind.allowed}. Default: {default_shown(name)}."
        group.add_argument(flag_of(name), dest=name, metavar="VALUE", help=help_text.replace("%", "%%"))


def config_of(arguments: argparse.Namespace, environ: Mapping[str, str]) -> Config:
    """The settings that `up` was given. Raises ConfigError."""
    overrides = {name: getattr(arguments, name) for name in settings()}
    return Config.load(overrides, environ, arguments.config)


def endpoint_of(config: Config) -> str:
    """Where a server with these settings listens."""
    host = f"[{config.host}]" if ":" in config.host else config.host
    return f"http://{host}:{config.port}"
