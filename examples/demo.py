"""`make demo`: one function from nothing to a thumbnail, with the commands and the client that a user has.

Starts a server of its own on a free port with a temporary data directory, and leaves nothing but the thumbnail.
Exit status 0 when everything worked; else 1, with the reason and the server's log.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

HERE = Path(__file__).parent
ROOT = HERE.parent
OUTPUT = ROOT / "build" / "demo"
PADDOCK = Path(sys.executable).parent / "paddock"
PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
FUNCTION, ROLE, MEMORY_MB, WARM_INVOKES = "thumbnail", "demo", 1024, 20
START_TIMEOUT_S, STOP_TIMEOUT_S, LOGS_TIMEOUT_S, POLL_S = 60, 30, 10, 0.1
TRUST = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}],
}


class DemoFailed(Exception):
    """Something did not go as promised; the message says what."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Invoked:
    """One invoke as the client saw it, and what its REPORT line says."""

    elapsed_ms: float
    answer: dict[str, Any]
    report: str

    def reported(self, name: str) -> str:
        found = re.search(rf"(?:^|\t){name}: ([\d.]+ (?:ms|MB))", self.report)
        return found.group(1) if found else "-"


def say(label: str, text: str) -> None:
    print(f"  {label:<12} {text}", flush=True)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def server(scratch: Path) -> Iterator[str]:
    """A running Paddock; its endpoint. Stopped with SIGTERM at the end, which must succeed."""
    endpoint = f"http://127.0.0.1:{(port := free_port())}"
    command = [str(PADDOCK), "up", "--port", str(port), "--data-dir", str(scratch / "data")]
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PADDOCK_")}
    with (scratch / "server.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, env=clean)
    try:
        await_health(process, endpoint)
        yield endpoint
    finally:
        status = stop(process)
    if status != 0:
        raise DemoFailed(f"the server did not stop cleanly (exit status {status})")


def stop(process: subprocess.Popen[bytes]) -> int:
    process.send_signal(signal.SIGTERM)
    try:
        return process.wait(STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()


def await_health(process: subprocess.Popen[bytes], endpoint: str) -> None:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise DemoFailed(f"the server ended with exit status {process.returncode} instead of serving")
        try:
            with opener.open(endpoint + "/health", timeout=POLL_S * 10):
                return
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            time.sleep(POLL_S)
    raise DemoFailed(f"the server did not answer {endpoint}/health within {START_TIMEOUT_S} s")


def package(scratch: Path) -> tuple[Path, bytes]:
    """The handler and Pillow, installed by pip as on any build machine: the directory and its zip."""
    directory = scratch / "package"
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet", "install", "--no-compile"]
    command += ["--target", str(directory), "--only-binary=:all:", "--python-version", PYTHON]
    command += ["--requirement", str(HERE / "thumbnail" / "requirements.txt")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise DemoFailed(f"pip could not install the function's packages:\n{done.stderr.strip()}")
    shutil.copy(HERE / "thumbnail" / "handler.py", directory)
    archive = scratch / "thumbnail.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as zipped:
        for path in sorted(directory.rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                zipped.write(path, path.relative_to(directory))
    return directory, archive.read_bytes()


def draw(packages: Path) -> Path:
    """A photograph-like picture, drawn with the very Pillow that the function gets."""
    OUTPUT.mkdir(parents=True, exist_ok=True)
    picture = OUTPUT / "photograph.jpg"
    command = [sys.executable, str(HERE / "photograph.py"), str(picture)]
    subprocess.run(command, check=True, env={**os.environ, "PYTHONPATH": str(packages)})
    return picture


def session_at(endpoint: str) -> tuple[Any, Any, Any]:
    """Plain boto3 clients for lambda, iam and logs, untouched by the user's own AWS configuration."""
    os.environ.pop("AWS_PROFILE", None)
    os.environ.update(AWS_CONFIG_FILE=os.devnull, AWS_SHARED_CREDENTIALS_FILE=os.devnull, NO_PROXY="127.0.0.1")
    session = boto3.Session(aws_access_key_id="test", aws_secret_access_key="test", region_name="us-east-1")
    config = Config(retries={"total_max_attempts": 1}, read_timeout=60)
    lambda_, iam, logs = (
        session.client(name, endpoint_url=endpoint, config=config) for name in ("lambda", "iam", "logs")
    )
    return lambda_, iam, logs


def create(lambda_: Any, iam: Any, zipped: bytes) -> float:
    """Role and function; how long until boto3's own waiter called it active, in seconds."""
    role = iam.create_role(RoleName=ROLE, AssumeRolePolicyDocument=json.dumps(TRUST))["Role"]["Arn"]
    started = time.perf_counter()
    lambda_.create_function(
        FunctionName=FUNCTION,
        Runtime=f"python{PYTHON}",
        Handler="handler.handler",
        Role=role,
        Code={"ZipFile": zipped},
        MemorySize=MEMORY_MB,
        Timeout=30,
    )
    lambda_.get_waiter("function_active_v2").wait(FunctionName=FUNCTION, WaiterConfig={"Delay": 1, "MaxAttempts": 60})
    return time.perf_counter() - started


def invoke(lambda_: Any, payload: bytes) -> Invoked:
    started = time.perf_counter()
    response = lambda_.invoke(FunctionName=FUNCTION, Payload=payload, LogType="Tail")
    body = response["Payload"].read()
    elapsed_ms = (time.perf_counter() - started) * 1000
    log = base64.b64decode(response.get("LogResult", "")).decode()
    if "FunctionError" in response:
        raise DemoFailed(f"the function failed: {body.decode()}\n{log}")
    reports = [line for line in log.splitlines() if line.startswith("REPORT ")]
    if not reports:
        raise DemoFailed(f"the log tail has no REPORT line:\n{log}")
    return Invoked(elapsed_ms=elapsed_ms, answer=json.loads(body), report=reports[-1])


def read_logs(logs: Any, invokes: int) -> list[str]:
    """The function's lines through the logs API, once all invokes have reported."""
    deadline = time.monotonic() + LOGS_TIMEOUT_S
    while True:
        try:
            pages = logs.get_paginator("filter_log_events").paginate(logGroupName=f"/aws/lambda/{FUNCTION}")
            lines = [event["message"].rstrip() for page in pages for event in page["events"]]
        except logs.exceptions.ResourceNotFoundException:
            lines = []
        if sum(line.startswith("REPORT ") for line in lines) >= invokes:
            return lines
        if time.monotonic() > deadline:
            raise DemoFailed(f"the log group holds {len(lines)} lines but not {invokes} REPORTs:\n" + "\n".join(lines))
        time.sleep(POLL_S)


def show(cold: Invoked, warm: list[Invoked], lines: list[str]) -> None:
    times = [one.elapsed_ms for one in warm]
    say("cold", f"{cold.elapsed_ms:7.1f} ms, of which init (importing Pillow) {cold.reported('Init Duration')}")
    say("warm", f"{statistics.median(times):7.1f} ms median of {len(times)}, fastest {min(times):.1f} ms")
    say("billed", f"cold {cold.reported('Billed Duration')}, warm {warm[-1].reported('Billed Duration')}")
    say("memory", f"{warm[-1].reported('Max Memory Used')} used of {MEMORY_MB} MB")
    say("logs", f"{len(lines)} lines read back through the logs API, the first of them:")
    for line in lines[:5]:
        print(" " * 17 + line.replace("\t", "  "))


def story(scratch: Path, endpoint: str) -> None:
    say("server", f"{endpoint}, data in {scratch / 'data'}")
    directory, zipped = package(scratch)
    say("package", f"handler.py and Pillow, {len(zipped) / 1e6:.1f} MB zipped")
    picture = draw(directory)
    say("picture", f"{picture.relative_to(ROOT)}, 1600x1200, {picture.stat().st_size / 1000:.0f} kB")
    lambda_, iam, logs = session_at(endpoint)
    say("function", f"{FUNCTION} on python{PYTHON}, active after {create(lambda_, iam, zipped):.2f} s")
    image = base64.b64encode(picture.read_bytes()).decode("ascii")
    payload = json.dumps({"image": image, "width": 240}).encode()
    cold = invoke(lambda_, payload)
    warm = [invoke(lambda_, payload) for _ in range(WARM_INVOKES)]
    show(cold, warm, read_logs(logs, 1 + WARM_INVOKES))
    thumbnail = OUTPUT / "thumbnail.jpg"
    thumbnail.write_bytes(base64.b64decode(warm[-1].answer["thumbnail"]))
    if not thumbnail.read_bytes().startswith(b"\xff\xd8"):
        raise DemoFailed(f"{thumbnail} is not a JPEG")
    say("thumbnail", f"{thumbnail}, {warm[-1].answer['width']}x{warm[-1].answer['height']}")
    lambda_.delete_function(FunctionName=FUNCTION)
    iam.delete_role(RoleName=ROLE)
    say("cleaned up", "function and role deleted")


def main() -> int:
    print("Paddock demo: a function that makes thumbnails\n")
    scratch = Path(tempfile.mkdtemp(prefix="paddock-demo-"))
    scratch.chmod(0o755)  # started by root, the server runs as a user of its own and has to get in
    try:
        with server(scratch) as endpoint:
            story(scratch, endpoint)
    except (DemoFailed, BotoCoreError, ClientError, OSError, subprocess.SubprocessError) as error:
        print(f"\nThe demo failed: {error}\n", file=sys.stderr)
        log = scratch / "server.log"
        if log.exists():
            print("The server's log:\n" + log.read_text(errors="replace"), file=sys.stderr)
        return 1
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    say("server", "stopped, its data removed")
    print("\nIt works. Keep one: make serve")
    return 0


if __name__ == "__main__":
    sys.exit(main())
