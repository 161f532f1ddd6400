"""The AWS CLI without its start: one process that runs command after command, each by a driver of its own.

A start of the CLI is most of what a short command costs, and a journey has thirty.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

import pytest

from tests.support.server import RunningServer

_PROGRAM = """
import contextlib, io, json, sys
from awscli.clidriver import create_clidriver

for line in sys.stdin:
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            status = create_clidriver().main(json.loads(line))
        except SystemExit as ended:
            status = ended.code
    print(json.dumps([status, out.getvalue(), err.getvalue()]), flush=True)
"""


class Ended(NamedTuple):
    status: int
    out: str
    err: str


class Cli:
    """Skips the test where there is no CLI beside this Python. keys: other credentials than `test`."""

    def __init__(self, server: RunningServer, directory: Path, keys: dict[str, str] | None = None) -> None:
        if find_spec("awscli") is None:
            pytest.skip("the AWS CLI is not installed beside this Python")
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(directory),
            "AWS_ENDPOINT_URL": server.endpoint,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_MAX_ATTEMPTS": "1",
            "NO_PROXY": "127.0.0.1",
            **(keys or {}),
        }
        self._process = subprocess.Popen(
            [sys.executable, "-c", _PROGRAM],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
            cwd=directory,
            text=True,
        )

    def run(self, *words: str) -> Ended:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(words) + "\n")
        self._process.stdin.flush()
        return Ended(*json.loads(self._process.stdout.readline()))

    def __call__(self, *words: str) -> str:
        """What a command that succeeds prints."""
        ended = self.run(*words)
        assert ended.status == 0, (words, ended.err)
        return ended.out.strip()

    def __enter__(self) -> Cli:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._process.communicate()
