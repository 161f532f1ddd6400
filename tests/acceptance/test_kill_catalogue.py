"""kill -9 at random points of 500 changes of all kinds: what was acknowledged is there, nothing is half made."""

from __future__ import annotations

import json
import random
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import BotoCoreError, ClientError

from tests.support.server import RunningServer, zipped

CALLS = 500
KILLS = 6
NAME = "kept"
STATEMENTS_MAX = 20


@dataclass(frozen=True)
class Books:
    """What the catalogue should hold of one function and one layer."""

    versions: frozenset[str] = frozenset()
    aliases: Mapping[str, str] = field(default_factory=dict)
    statements: frozenset[str] = frozenset()
    layers: frozenset[int] = frozenset()
    tags: Mapping[str, str] = field(default_factory=dict)
    reserved: int | None = None


def read(client: Any) -> Books:
    """What it holds."""
    versions = client.get_paginator("list_versions_by_function").paginate(FunctionName=NAME)
    aliases = client.list_aliases(FunctionName=NAME)["Aliases"]
    try:
        policy = json.loads(client.get_policy(FunctionName=NAME)["Policy"])["Statement"]
    except client.exceptions.ResourceNotFoundException:
        policy = []
    layers = client.get_paginator("list_layer_versions").paginate(LayerName=NAME)
    return Books(
        versions=frozenset(one["Version"] for page in versions for one in page["Versions"]) - {"$LATEST"},
        aliases={one["Name"]: one["FunctionVersion"] for one in aliases},
        statements=frozenset(one["Sid"] for one in policy),
        layers=frozenset(one["Version"] for page in layers for one in page["LayerVersions"]),
        tags=client.list_tags(Resource=client.get_function(FunctionName=NAME)["Configuration"]["FunctionArn"])["Tags"],
        reserved=client.get_function_concurrency(FunctionName=NAME).get("ReservedConcurrentExecutions"),
    )


Change = tuple[Callable[[], Any], Books]


def change(client: Any, books: Books, chance: random.Random, number: int) -> Change:
    """A call, and what the books say after it."""
    arn = f"arn:aws:lambda:us-east-1:000000000000:function:{NAME}"
    versions = sorted(books.versions, key=int)
    kind = chance.choice(["alias", "unalias", "allow", "forbid", "tag", "reserve", "layer", "unlayer"])
    if kind == "alias" and "live" not in books.aliases:
        return (
            lambda: client.create_alias(FunctionName=NAME, Name="live", FunctionVersion=versions[0]),
            replace(books, aliases={**books.aliases, "live": versions[0]}),
        )
    if kind == "unalias":
        left = {name: version for name, version in books.aliases.items() if name != "live"}
        return lambda: client.delete_alias(FunctionName=NAME, Name="live"), replace(books, aliases=left)
    if books.statements and (kind == "forbid" or len(books.statements) > STATEMENTS_MAX):
        sid = sorted(books.statements)[0]
        return (
            lambda: client.remove_permission(FunctionName=NAME, StatementId=sid),
            replace(books, statements=books.statements - {sid}),
        )
    if kind == "tag":
        return lambda: client.tag_resource(Resource=arn, Tags={"n": str(number)}), replace(
            books, tags={"n": str(number)}
        )
    if kind == "reserve":
        return (
            lambda: client.put_function_concurrency(FunctionName=NAME, ReservedConcurrentExecutions=number % 7),
            replace(books, reserved=number % 7),
        )
    if kind == "unlayer" and books.layers:
        oldest = min(books.layers)
        return (
            lambda: client.delete_layer_version(LayerName=NAME, VersionNumber=oldest),
            replace(books, layers=books.layers - {oldest}),
        )
    if kind == "layer" and books.layers:
        content = zipped({"x": str(number)})
        return (
            lambda: client.publish_layer_version(LayerName=NAME, Content={"ZipFile": content}),
            replace(books, layers=books.layers | {max(books.layers) + 1}),
        )
    sid = f"s{number}"
    return (
        lambda: client.add_permission(
            FunctionName=NAME, StatementId=sid, Action="lambda:InvokeFunction", Principal="s3.amazonaws.com"
        ),
        replace(books, statements=books.statements | {sid}),
    )


@pytest.mark.timeout(240)
def test_killed_at_random_points_of_changes_of_all_kinds(tmp_path: Path) -> None:
    chance = random.Random(20261125)
    server = RunningServer(tmp_path).start()
    try:
        server.create(NAME, "def handler(event, context):\n    return 1\n")
        client = server.client("lambda")
        client.publish_version(FunctionName=NAME)
        client.publish_layer_version(LayerName=NAME, Content={"ZipFile": zipped({"x": "0"})})
        books = read(client)
        fatal = sorted(chance.sample(range(CALLS), KILLS))
        for number in range(CALLS):
            call, after = change(client, books, chance, number)
            if number not in fatal:
                call()
                books = after
                continue
            killer = threading.Timer(chance.random() * 0.01, server.kill)
            killer.start()
            try:
                call()
                acknowledged = True
            except (BotoCoreError, ClientError):
                acknowledged = False
            killer.join()
            server.start()
            client = server.client("lambda")
            found = read(client)
            assert found == after if acknowledged else found in (books, after)
            books = found
            _check_disk(server, client)
        assert read(client) == books
        assert server.invoke(NAME)[0] == 1
    finally:
        server.stop()


def _check_disk(server: RunningServer, client: Any) -> None:
    """Nothing is stored that nobody refers to: the function's code once, and each layer's content."""
    stored = {path.name for path in (server.data_dir / "server" / "blobs").glob("??/*")}
    layers = client.get_paginator("list_layer_versions").paginate(LayerName=NAME)
    assert len(stored) == 1 + sum(len(page["LayerVersions"]) for page in layers)
    assert not list((server.data_dir / "server" / "blobs" / "incoming").iterdir())
