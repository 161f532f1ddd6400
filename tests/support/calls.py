"""Small words for acceptance tests: what is refused, what comes to be true, and functions that do as they are told."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import pytest
from botocore.exceptions import ClientError

T = TypeVar("T")

# Runs the statements in the event's `do`, as the body of a function of event and context.
TOOLBOX = """
import json, os, signal, sys, threading, time

CALLS = 0
KEPT = {}

def handler(event, context):
    global CALLS
    CALLS += 1
    scope = dict(globals())
    exec("def act(event, context):\\n" + "".join(f"    {line}\\n" for line in event["do"].splitlines()), scope)
    return scope["act"](event, context)
"""


@contextmanager
def refused(code: str, text: str = "", status: int = 0) -> Iterator[None]:
    """The block's AWS call fails with this error code, a message that has the regular expression `text`, and status."""
    with pytest.raises(ClientError) as caught:
        yield
    answer = caught.value.response
    assert answer["Error"]["Code"] == code, answer
    assert re.search(text, answer["Error"]["Message"] or ""), answer
    if status:
        assert answer["ResponseMetadata"]["HTTPStatusCode"] == status, answer


def until(look: Callable[[], T], patience_s: float = 30.0) -> T:
    """The first true value of `look`, asked again and again."""
    deadline = time.monotonic() + patience_s
    while not (found := look()):
        if time.monotonic() > deadline:
            raise AssertionError(f"did not come true within {patience_s} s: {look}")
        time.sleep(0.02)
    return found


def settled(client: Any, name: str) -> dict[str, Any]:
    """The function's configuration once its update has ended, by boto3's own waiter."""
    client.get_waiter("function_updated_v2").wait(FunctionName=name, WaiterConfig={"Delay": 0.05, "MaxAttempts": 400})
    found: dict[str, Any] = client.get_function_configuration(FunctionName=name)
    return found
