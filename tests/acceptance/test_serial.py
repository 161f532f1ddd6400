"""200 changes from eight clients at once: every answer, and what is left in the end, is that of some order of them."""

from __future__ import annotations

import json
import random
import threading
import time
from collections import Counter
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.support.calls import until
from tests.support.serial import BUSY, CONFLICT, NOT_FOUND, One, Seen, is_serial
from tests.support.server import ROLE, RunningServer, default_runtime, zipped

CLIENTS, CALLS = 8, 25
NAMES = ("serial-f", "serial-g")
ARN = "arn:aws:lambda:us-east-1:000000000000:function"
SOURCE = "def handler(event, context):\n    return 1\n"
PACKAGE = zipped({"app.py": SOURCE})
OPERATIONS = (
    *("create", "create", "create", "delete", "update", "update", "publish", "publish", "publish", "unpublish"),
    *("alias", "alias", "move", "unalias", "tag", "reserve", "allow", "allow", "forbid"),
)


def arguments(chance: random.Random, operation: str) -> dict[str, str]:
    version = str(chance.choice((1, 1, 2, 3, 4)))
    return {
        "create": {"timeout": "3"},
        "update": {"timeout": chance.choice("456")},
        "unpublish": {"version": version},
        "alias": {"name": chance.choice("ab"), "version": version},
        "move": {"name": chance.choice("ab"), "version": version},
        "unalias": {"name": chance.choice("ab")},
        "tag": {"key": chance.choice("xy"), "value": str(chance.randrange(100))},
        "reserve": {"executions": str(chance.randrange(5))},
        "allow": {"sid": chance.choice("pqr")},
        "forbid": {"sid": chance.choice("pqr")},
    }.get(operation, {})


def call(client: Any, name: str, operation: str, given: dict[str, str]) -> str:
    """What it came to: "", the number of a version, or a code."""
    whole = {"FunctionName": name}
    alias = {"Name": given.get("name"), "FunctionVersion": given.get("version")}
    match operation:
        case "create":
            client.create_function(
                **whole, Runtime=default_runtime(), Role=ROLE, Handler="app.handler", Code={"ZipFile": PACKAGE},
                Timeout=int(given["timeout"]),
            )  # fmt: skip
        case "delete":
            client.delete_function(**whole)
        case "update":
            client.update_function_configuration(**whole, Timeout=int(given["timeout"]))
        case "publish":
            return str(client.publish_version(**whole)["Version"])
        case "unpublish":
            client.delete_function(**whole, Qualifier=given["version"])
        case "alias":
            client.create_alias(**whole, **alias)
        case "move":
            client.update_alias(**whole, **alias)
        case "unalias":
            client.delete_alias(**whole, Name=given["name"])
        case "tag":
            client.tag_resource(Resource=f"{ARN}:{name}", Tags={given["key"]: given["value"]})
        case "reserve":
            client.put_function_concurrency(**whole, ReservedConcurrentExecutions=int(given["executions"]))
        case "allow":
            client.add_permission(
                **whole, StatementId=given["sid"], Action="lambda:InvokeFunction", Principal="s3.amazonaws.com"
            )
        case "forbid":
            client.remove_permission(**whole, StatementId=given["sid"])
    return ""


def outcome(client: Any, name: str, operation: str, given: dict[str, str]) -> str:
    try:
        return call(client, name, operation, given)
    except ClientError as error:
        told = error.response["Error"]
        assert told["Code"] in (CONFLICT, NOT_FOUND), told
        is_busy = told["Message"].startswith("The operation cannot be performed at this time.")
        return BUSY if is_busy else str(told["Code"])


def found(client: Any, name: str) -> One:
    """The function as it is in the end, but for the highest number it ever gave."""
    whole = {"FunctionName": name}
    try:
        until(lambda: client.get_function(**whole)["Configuration"].get("LastUpdateStatus") == "Successful")
        latest = client.get_function(**whole)
    except ClientError:
        return One()
    versions = [
        (one["Version"], str(one["Timeout"]))
        for page in client.get_paginator("list_versions_by_function").paginate(**whole)
        for one in page["Versions"]
        if one["Version"] != "$LATEST"
    ]
    aliases = [(one["Name"], one["FunctionVersion"]) for one in client.list_aliases(**whole)["Aliases"]]
    try:
        policy = json.loads(client.get_policy(**whole)["Policy"])["Statement"]
    except client.exceptions.ResourceNotFoundException:
        policy = []
    return One(
        exists=True,
        latest=latest["Configuration"]["Timeout"],
        versions=tuple(sorted(versions)),
        aliases=tuple(sorted(aliases)),
        tags=tuple(sorted(latest.get("Tags", {}).items())),
        statements=frozenset(one["Sid"] for one in policy),
        reserved=latest.get("Concurrency", {}).get("ReservedConcurrentExecutions", -1),
    )


@pytest.mark.parametrize("seed", [1, 2])
def test_what_many_clients_see_is_what_they_would_have_seen_in_some_order(server: RunningServer, seed: int) -> None:
    names = [f"{name}-{seed}" for name in NAMES]
    histories: dict[str, list[Seen]] = {name: [] for name in names}
    failures: list[BaseException] = []
    for name, history in histories.items():
        began = time.monotonic()
        server.create(name, {"app.py": SOURCE}, Timeout=3)
        history.append(Seen(began, time.monotonic(), "create", {"timeout": "3"}, ""))
    start = threading.Barrier(CLIENTS)

    def work(number: int) -> None:
        chance, client = random.Random(seed * 1000 + number), server.client("lambda")
        start.wait()
        for _ in range(CALLS):
            name, operation = chance.choice(names), chance.choice(OPERATIONS)
            given = arguments(chance, operation)
            began = time.monotonic()
            try:
                came = outcome(client, name, operation, given)
            except BaseException as error:
                failures.append(error)
                return
            histories[name].append(Seen(began, time.monotonic(), operation, given, came))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert sum(map(len, histories.values())) == CLIENTS * CALLS + len(names)
    client = server.client("lambda")
    for name, history in histories.items():
        assert is_serial(history, found(client, name)), history
        # The test is about something: changes were made, and refused for what others had done.
        assert len(Counter(seen.outcome for seen in history)) > 3


def seen(at: float, operation: str, outcome: str = "", **given: str) -> Seen:
    return Seen(at, at + 1.5, operation, given, outcome)


CREATED = seen(0, "create", timeout="3")


@pytest.mark.parametrize(
    ("history", "end", "expected"),
    [
        ([CREATED, seen(1, "create", CONFLICT, timeout="3")], One(exists=True, latest=3), True),
        ([CREATED, seen(1, "create", timeout="3")], One(exists=True, latest=3), False),
        # They overlap, so the update may have come first or last; what it left tells.
        ([CREATED, seen(2, "publish", "1"), seen(3, "update", timeout="4")],
         One(exists=True, latest=4, versions=(("1", "4"),), last=1), True),
        ([CREATED, seen(2, "publish", "1"), seen(4, "update", timeout="4")],
         One(exists=True, latest=4, versions=(("1", "4"),), last=1), False),
        # Two publications of the same give one version.
        ([CREATED, seen(2, "publish", "1"), seen(2, "publish", "2")],
         One(exists=True, latest=3, versions=(("1", "3"), ("2", "3")), last=2), False),
        # A lost update.
        ([CREATED, seen(2, "tag", key="x", value="1"), seen(2, "tag", key="y", value="2")],
         One(exists=True, latest=3, tags=(("y", "2"),)), False),
        ([CREATED, seen(2, "update", BUSY, timeout="4")], One(exists=True, latest=3), True),
    ],
)  # fmt: skip
def test_the_judge_can_say_no(history: list[Seen], end: One, expected: bool) -> None:
    assert is_serial(history, end) is expected
