"""Parameters: versions, paths, and SecureStrings that lie sealed."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from paddock.backends.sql.sqlite import SqliteStore
from paddock.control.keys import Keys
from paddock.services.service import Mount
from paddock.services.ssm import SERVICE, Desk
from tests.unit.services.harness import ACCOUNT, Client, CountingIds, StillClock, database, refused


def play(tmp_path: Path, story: Callable[[Client, Keys], Awaitable[None]]) -> None:
    async def run() -> None:
        clock = StillClock()
        store = await SqliteStore.open(database(tmp_path))
        keys = Keys(store=store, master=b"m" * 32, clock=clock, ids=CountingIds())
        try:
            await story(Client(Mount(SERVICE, Desk(store=store, keys=keys, clock=clock))), keys)
        finally:
            await store.close()

    asyncio.run(run())


async def value(client: Client, name: str, **more: Any) -> str:
    found: str = (await client("GetParameter", Name=name, **more))["Parameter"]["Value"]
    return found


def test_versions(tmp_path: Path) -> None:
    async def story(client: Client, keys: Keys) -> None:
        assert await client("PutParameter", Name="/app/a", Value="1", Type="String") == {
            "Version": 1, "Tier": "Standard",
        }  # fmt: skip
        again = await refused(client, "PutParameter", Name="/app/a", Value="2", Type="String")
        assert again[0] == "ParameterAlreadyExists"
        assert (await client("PutParameter", Name="/app/a", Value="2", Overwrite=True))["Version"] == 2
        shown = (await client("GetParameter", Name="/app/a"))["Parameter"]
        assert (shown["Value"], shown["Version"], shown["Type"]) == ("2", 2, "String")
        assert shown["ARN"] == f"arn:aws:ssm:us-east-1:{ACCOUNT}:parameter/app/a"
        assert await value(client, "/app/a:1") == "1"
        assert await value(client, shown["ARN"]) == "2"
        for name in ("/app/b", "/app/a:9", "/app/a:x"):
            assert (await refused(client, "GetParameter", Name=name))[0] == "ParameterNotFound"
        await client("DeleteParameter", Name="/app/a")
        assert (await refused(client, "DeleteParameter", Name="/app/a"))[0] == "ParameterNotFound"
        assert (await client("PutParameter", Name="/app/a", Value="3", Type="String"))["Version"] == 1

    play(tmp_path, story)


def test_paths_and_several_at_once(tmp_path: Path) -> None:
    async def story(client: Client, keys: Keys) -> None:
        for name in ("/a/x", "/a/y", "/a/b/z", "/ab/no", "plain"):
            await client("PutParameter", Name=name, Value=name, Type="String")
        flat = (await client("GetParametersByPath", Path="/a"))["Parameters"]
        assert [one["Name"] for one in flat] == ["/a/x", "/a/y"]
        page = await client("GetParametersByPath", Path="/a/", Recursive=True, MaxResults=2)
        assert [one["Name"] for one in page["Parameters"]] == ["/a/b/z", "/a/x"]
        rest = await client("GetParametersByPath", Path="/a/", Recursive=True, NextToken=page["NextToken"])
        assert [one["Name"] for one in rest["Parameters"]] == ["/a/y"]
        assert "NextToken" not in rest
        some = await client("GetParameters", Names=["plain", "/a/x", "none"])
        assert {one["Name"] for one in some["Parameters"]} == {"plain", "/a/x"}
        assert some["InvalidParameters"] == ["none"]
        arn = f"arn:aws:ssm:us-east-1:{ACCOUNT}:parameter/plain"
        assert await value(client, arn) == "plain"
        gone = await client("DeleteParameters", Names=["plain", "none"])
        assert gone == {"DeletedParameters": ["plain"], "InvalidParameters": ["none"]}

    play(tmp_path, story)


def test_secure_strings_lie_sealed(tmp_path: Path) -> None:
    async def story(client: Client, keys: Keys) -> None:
        await client("PutParameter", Name="s", Value="very secret", Type="SecureString")
        assert await value(client, "s", WithDecryption=True) == "very secret"
        assert "secret" not in await value(client, "s")
        key = await keys.create(ACCOUNT, "us-east-1", description="", tags={})
        await client("PutParameter", Name="k", Value="very secret", Type="SecureString", KeyId=key.arn)
        assert await value(client, "k", WithDecryption=True) == "very secret"
        await keys.enable(key, False)
        assert (await refused(client, "GetParameter", Name="k", WithDecryption=True))[0] == "InvalidKeyId"
        unknown = await refused(client, "PutParameter", Name="u", Value="x", Type="SecureString", KeyId="nothing")
        assert unknown[0] == "InvalidKeyId"
        with sqlite3.connect(database(tmp_path)) as connection:
            documents = [row[0] for row in connection.execute("SELECT document FROM ssm_parameters")]
        assert len(documents) == 2
        assert not any("very" in document or b"very".hex() in document for document in documents)

    play(tmp_path, story)


def test_what_is_refused(tmp_path: Path) -> None:
    async def story(client: Client, keys: Keys) -> None:
        for params in (
            {"Name": "a//b", "Value": "1", "Type": "String"},
            {"Name": "/aws/x", "Value": "1", "Type": "String"},
            {"Name": "a", "Value": "1"},
            {"Name": "a", "Value": "x" * 5000, "Type": "String"},
        ):
            assert (await refused(client, "PutParameter", **params))[0] == "ValidationException"
        pattern = await refused(client, "PutParameter", Name="a", Value="1", Type="String", AllowedPattern="x")
        assert pattern[0] == "NotImplementedException"

    play(tmp_path, story)


def test_old_versions_go(tmp_path: Path) -> None:
    async def story(client: Client, keys: Keys) -> None:
        await client("PutParameter", Name="a", Value="0", Type="String")
        for number in range(1, 103):
            await client("PutParameter", Name="a", Value=str(number), Overwrite=True)
        assert (await refused(client, "GetParameter", Name="a:3"))[0] == "ParameterNotFound"
        assert await value(client, "a:4") == "3"
        assert await value(client, "a") == "102"

    play(tmp_path, story)
