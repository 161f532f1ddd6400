"""An archive of class data for AWS's runtime client (application class-data sharing): made once for each JVM.

A JVM that maps the archive has the client's classes and its JSON library parsed and verified: it asks for its first
event in half the time. The JVM makes the archive itself when it ends, of the classes it has loaded; so it serves two
events of ours, from a Runtime API of ours, with a handler that every JVM has. The jars must lie where they will lie
for functions, so this is a program of its own, in a mount namespace in which the JVM is at /var/lang and the jars are
in /var/runtime/lib:

    python -m paddock.worker.runtimes.java.archive <the JVM's home> <directory of the jars> <the archive>

Trusted code only: the machine's JVM and the pinned jars.
"""

from __future__ import annotations

import http.server
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from paddock.worker.runtimes.java import bootstrap
from paddock.worker.sandbox import linux

HANDLER = "java.util.HashMap::get"
EVENTS = 2
MEMORY_MB = 512
OUTPUT = "/var/made"
PLACES = ("/var/task", bootstrap.HOME, bootstrap.LIBRARY, OUTPUT)
PATIENCE_S = 30


class _Api(http.server.HTTPServer):
    """A Runtime API that gives EVENTS events, then sends the JVM away."""

    timeout = 1.0
    given = 0
    java: subprocess.Popen[bytes]


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Api

    def do_GET(self) -> None:
        self.server.given += 1
        if self.server.given > EVENTS:
            self.server.java.send_signal(signal.SIGTERM)  # the archive is written on the way out
            self.close_connection = True
            return
        deadline_ms = int((time.time() + PATIENCE_S) * 1000)
        self._answer(
            200,
            b'{"key": [1, 2.5, "value", {"deep": null}]}',
            {
                "Lambda-Runtime-Aws-Request-Id": "00000000-0000-0000-0000-000000000000",
                "Lambda-Runtime-Deadline-Ms": str(deadline_ms),
                "Lambda-Runtime-Invoked-Function-Arn": "arn:aws:lambda:us-east-1:000000000000:function:none",
                "Lambda-Runtime-Trace-Id": "Root=1-00000000-000000000000000000000000",
            },
        )

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self._answer(202, b'{"status": "OK"}', {})

    def _answer(self, status: int, body: bytes, headers: Any) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Type": "application/json", "Content-Length": len(body)}.items():
            self.send_header(name, str(value))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Nobody reads it."""


def make(target: str) -> bool:
    """Let the JVM at /var/lang make `target`. False, and no file, when it did not. Raises OSError."""
    with _Api(("127.0.0.1", 0), _Handler) as api:
        environment = {
            "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{api.server_port}",
            "AWS_LAMBDA_FUNCTION_NAME": "none",
            "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(MEMORY_MB),
            "AWS_LAMBDA_LOG_GROUP_NAME": "none",
            "AWS_LAMBDA_LOG_STREAM_NAME": "none",
            "AWS_REGION": "us-east-1",
            "LAMBDA_TASK_ROOT": "/var/task",
            "LAMBDA_RUNTIME_DIR": "/var/runtime",
            "LC_ALL": "C.UTF-8",
            "_HANDLER": HANDLER,
        }
        java, *options = bootstrap.command(MEMORY_MB, HANDLER)
        command = [java, f"-XX:ArchiveClassesAtExit={target}", *options]
        null = subprocess.DEVNULL
        api.java = subprocess.Popen(command, env=environment, cwd="/var/task", stdin=null, stdout=null, stderr=null)
        try:
            until = time.monotonic() + PATIENCE_S
            while api.java.poll() is None and api.given <= EVENTS and time.monotonic() < until:
                api.handle_request()
            api.java.wait(timeout=PATIENCE_S)
        except subprocess.TimeoutExpired:
            return False
        finally:
            api.java.kill()
            api.java.wait()
    return Path(target).is_file()


def _stage(jvm: str, jars: str, output: str) -> None:
    """A mount namespace of our own with everything in its place. Raises OSError where the kernel refuses one."""
    uid, gid = os.getuid(), os.getgid()
    if uid:
        linux.unshare(linux.CLONE_NEWUSER | linux.CLONE_NEWNS)
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"{uid} {uid} 1")
        Path("/proc/self/gid_map").write_text(f"{gid} {gid} 1")
    else:
        linux.unshare(linux.CLONE_NEWNS)
    linux.mount("none", "/", None, linux.MS_REC | linux.MS_PRIVATE)
    found = [os.open(path, os.O_PATH | os.O_CLOEXEC) for path in (jvm, jars, output)]
    linux.mount("paddock", "/var", "tmpfs", linux.MS_NOSUID | linux.MS_NODEV)
    for place in PLACES:
        Path(place).mkdir(parents=True)
    for fd, place in zip(found, (bootstrap.HOME, bootstrap.LIBRARY, OUTPUT), strict=True):
        linux.bind(f"/proc/self/fd/{fd}", place, read_only=place != OUTPUT)
    linux.mount("paddock", "/tmp", "tmpfs", linux.MS_NOSUID | linux.MS_NODEV)


def main(arguments: list[str]) -> int:
    jvm, jars, target = arguments
    directory, name = os.path.split(os.path.abspath(target))
    half = f"{name}.{os.getpid()}"
    try:
        _stage(jvm, jars, directory)
        if not make(f"{OUTPUT}/{half}"):
            print("the JVM made no archive", file=sys.stderr)
            return 1
        os.chmod(f"{OUTPUT}/{half}", 0o444)
        os.rename(f"{OUTPUT}/{half}", f"{OUTPUT}/{name}")
    except OSError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
