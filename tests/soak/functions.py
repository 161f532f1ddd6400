"""The functions of the soak: what each kind does when it is asked to work, and how it fails when it is asked to.

Every answer carries the function's name, the generation of its code and the event's token, so that an answer of
another function, of code that was replaced, or to another event cannot pass for the right one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tests.support.server import default_runtime, zipped

_HEAD = """
import json, os, sys, time
NAME, GENERATION = {name!r}, {generation}
def answer(event):
    return {{"name": NAME, "generation": GENERATION, "token": event["token"]}}
"""

_WORKS = """
def handler(event, context):
    if event["fail"]:
        fail(event)
    return answer(event)
"""

_TMP = """
def handler(event, context):
    for path in os.listdir("/tmp"):
        owner, generation = open("/tmp/" + path).read().split()
        assert (owner, int(generation)) == (NAME, GENERATION), "another's file: " + owner + " " + generation
    with open("/tmp/" + event["token"], "w") as file:
        file.write(f"{NAME} {GENERATION}")
    return answer(event)
"""

_SLEEPS = """
def handler(event, context):
    began = time.time()
    time.sleep(event["sleep_s"])
    return {"began": began, "ended": time.time()}
"""

_CUSTOM = """
import http.client
api = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])
def call(method, path, body=None):
    api.request(method, "/2018-06-01/runtime" + path, body)
    got = api.getresponse()
    return got.getheader("lambda-runtime-aws-request-id"), got.read()
while True:
    request_id, body = call("GET", "/invocation/next")
    event = json.loads(body)
    if event["fail"]:
        told = json.dumps({"errorType": "Refused", "errorMessage": event["token"]})
        call("POST", "/invocation/" + request_id + "/error", told)
    else:
        call("POST", "/invocation/" + request_id + "/response", json.dumps(answer(event)))
"""


@dataclass(frozen=True, kw_only=True)
class Kind:
    """code: after the head. fails: of how many events one in that many is to fail, 0 for none.

    error_type, message: how that failure is shown to the caller; {token} is the event's.
    """

    name: str
    code: str
    fails: float = 0.0
    error_type: str = ""
    message: str = ""
    runtime: str = ""
    settings: Mapping[str, Any]

    def package(self, function: str, generation: int) -> bytes:
        text = _HEAD.format(name=function, generation=generation) + self.code
        if self.runtime.startswith("provided"):
            return zipped({"bootstrap": "#!/usr/bin/python3\n" + text}, 0o755)
        return zipped({"app.py": text})

    def configuration(self) -> dict[str, Any]:
        given = {"Runtime": self.runtime or default_runtime(), "Handler": "app.handler", "Timeout": 20}
        return {**given, "MemorySize": 512, **self.settings}

    def expects(self, body: bytes, token: str) -> bool:
        """Whether this is the failure that was asked for."""
        told = json.loads(body)
        return told["errorType"] == self.error_type and self.message.format(token=token) in told["errorMessage"]


def _failing(statement: str) -> str:
    return f"def fail(event):\n    {statement}\n{_WORKS}"


ECHO = Kind(name="echo", code=_failing("pass"), settings={})
SLEEPER = Kind(name="sleeper", code=_SLEEPS, settings={})
_PRINTS = Kind(
    name="prints",
    code=_failing("pass").replace("    if", "    for n in range(20): print(n, event['token'] * 4)\n    if"),
    settings={},
)
_EXITS = Kind(
    name="exits",
    code=_failing("os._exit(3)"),
    fails=0.2,
    error_type="Runtime.ExitError",
    message="Runtime exited with error: exit status 3",
    settings={},
)
_RAISES = Kind(
    name="raises",
    code=_failing("raise ValueError(event['token'])"),
    fails=0.3,
    error_type="ValueError",
    message="{token}",
    settings={},
)
_LATE = Kind(
    name="late",
    code=_failing("time.sleep(30)"),
    fails=0.06,
    error_type="Sandbox.Timedout",
    message="Task timed out after 3.00 seconds",
    settings={"Timeout": 3, "MemorySize": 1769},  # of the shortest a second, a busy machine needs more for any event
)
_HOG = Kind(
    name="hog",
    code=_failing("x = b'x' * (400 << 20)"),
    fails=0.1,
    error_type="Runtime.OutOfMemory",
    message="signal: killed",
    settings={"MemorySize": 128},
)
_WRITES = Kind(name="writes", code=_TMP, settings={})
_CUSTOM_KIND = Kind(
    name="custom",
    code=_CUSTOM,
    fails=0.2,
    error_type="Refused",
    message="{token}",
    runtime="provided.al2023",
    settings={"MemorySize": 1769},
)


def kinds(offered: list[str]) -> list[Kind]:
    """All that this machine can run, and an echo of its oldest Python besides."""
    found = [ECHO, _PRINTS, _EXITS, _RAISES, _LATE, _HOG, _WRITES]
    if _CUSTOM_KIND.runtime in offered:
        found.append(_CUSTOM_KIND)
    other = next((name for name in offered if name.startswith("python") and name != default_runtime()), "")
    if other:
        found.append(Kind(name="other", code=ECHO.code, runtime=other, settings={}))
    return found
