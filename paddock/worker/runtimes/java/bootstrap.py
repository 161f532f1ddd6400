"""The managed Java runtimes: wait for an assignment, then become a JVM that runs AWS's own runtime client.

A JVM reads its environment once, when it starts, so it cannot boot before its function is known. What it would spend
on loading the client's classes an archive of class data has done before (archive.py). Standard library only; Python
3.9 on.
"""

from __future__ import annotations

import gc
import json
import os
import re
import socket
from typing import List

from paddock.worker.runtimes import wrapper
from paddock.worker.runtimes.python.bootstrap import ASSIGN, Channel, limit_data

HOME = "/var/lang"
JAVA = f"{HOME}/bin/java"
LIBRARY = "/var/runtime/lib"
ARCHIVE = "/var/runtime/client.jsa"
MAIN = "com.amazonaws.services.lambda.runtime.api.client.AWSLambda"
RELEASE = f"{HOME}/release"
NATIVE_ACCESS_SINCE = 22  # these warn about every native library that is not allowed by name
HEAP_SHARE = 0.85  # of the function's memory, as on Lambda; what is left is the JVM's own


def preload() -> None:
    """Nothing to import: the zygote of this runtime only starts processes."""
    gc.collect()
    gc.freeze()


def _major() -> int:
    with open(RELEASE) as file:
        found = re.search(r'^JAVA_VERSION="(?:1\.)?([0-9]+)', file.read(), re.MULTILINE)
    return int(found.group(1)) if found else 0


def command(memory_mb: int, handler: str) -> List[str]:
    """The JVM's command line: quick to start, on one thread of garbage collection, as Lambda's."""
    classes = ":".join(f"{LIBRARY}/{name}" for name in sorted(os.listdir(LIBRARY)) if name.endswith(".jar"))
    mapped = [f"-XX:SharedArchiveFile={ARCHIVE}"] if os.path.isfile(ARCHIVE) else []
    native = ["--enable-native-access=ALL-UNNAMED"] if _major() >= NATIVE_ACCESS_SINCE else []
    return [
        JAVA,
        "-XX:+UseSerialGC",
        "-XX:TieredStopAtLevel=1",
        f"-XX:MaxHeapSize={int(memory_mb * HEAP_SHARE * 1024)}k",
        *mapped,
        *native,
        "--add-opens=java.base/java.io=ALL-UNNAMED",  # the client writes its log records to a descriptor by number
        "-Djava.net.preferIPv4Stack=true",
        "-cp",
        classes,
        MAIN,
        handler,
    ]


def run(channel_fd: int, telemetry_fd: int, ahead: bool) -> None:
    """Exec the JVM. ahead: whether there is time before the assignment; this runtime has nothing to do with it."""
    del ahead
    kind, _, body = Channel(socket.socket(fileno=channel_fd)).receive()
    if kind != ASSIGN:
        raise RuntimeError(f"unexpected frame {kind}")
    settings = json.loads(body)
    limit_data(settings)
    environment = dict(settings["environment"])
    environment["_LAMBDA_TELEMETRY_LOG_FD"] = str(telemetry_fd)
    # A JVM takes its encoding from the locale, and falls back to ASCII when one part of it is not installed.
    environment.setdefault("LC_ALL", "C.UTF-8")
    os.set_inheritable(telemetry_fd, True)
    os.chdir("/var/task")
    arguments = command(int(environment["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"]), settings["handler"])
    if environment.get(wrapper.EXEC_WRAPPER):
        wrapper.become(arguments, environment, telemetry_fd)
    os.execve(JAVA, arguments, environment)
