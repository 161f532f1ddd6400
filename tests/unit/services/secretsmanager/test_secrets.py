"""Secrets: versions and stages, deletion and return, and that their values lie sealed."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from paddock.backends.sql.sqlite import SqliteStore
from paddock.control.keys import Keys
from paddock.services.secretsmanager import SERVICE, Desk
from paddock.services.service import Mount
from tests.unit.services.harness import ACCOUNT, Client, CountingIds, StillClock, database, refused

TOKEN = "t" * 32
DAY_MS = 86_400_000


@dataclass(frozen=True)
class World:
    keys: Keys
    clock: StillClock


def play(tmp_path: Path, story: Callable[[Client, World], Awaitable[None]]) -> None:
    async def run() -> None:
        clock, ids = StillClock(), CountingIds()
        store = await SqliteStore.open(database(tmp_path))
        keys = Keys(store=store, master=b"m" * 32, clock=clock, ids=ids)
        desk = Desk(store=store, keys=keys, clock=clock, ids=ids)
        try:
            await story(Client(Mount(SERVICE, desk)), World(keys, clock))
        finally:
            await store.close()

    asyncio.run(run())


def test_versions_and_stages(tmp_path: Path) -> None:
    async def story(client: Client, world: World) -> None:
        made = await client("CreateSecret", Name="db", SecretString="one", ClientRequestToken=TOKEN, Description="d")
        assert made["VersionId"] == TOKEN
        arn = made["ARN"]
        assert arn.startswith(f"arn:aws:secretsmanager:us-east-1:{ACCOUNT}:secret:db-")
        for name in ("db", arn):
            got = await client("GetSecretValue", SecretId=name)
            assert (got["SecretString"], got["VersionStages"]) == ("one", ["AWSCURRENT"])
        await client("PutSecretValue", SecretId="db", SecretBinary=b"\x00two")
        assert (await client("GetSecretValue", SecretId="db"))["SecretBinary"] == b"\x00two"
        assert (await client("GetSecretValue", SecretId="db", VersionStage="AWSPREVIOUS"))["SecretString"] == "one"
        assert (await client("GetSecretValue", SecretId="db", VersionId=TOKEN))["SecretString"] == "one"
        await client("UpdateSecret", SecretId="db", SecretString="three", Description="e")
        gone = await refused(client, "GetSecretValue", SecretId="db", VersionId=TOKEN)
        assert gone[0] == "ResourceNotFoundException"
        described = await client("DescribeSecret", SecretId="db")
        assert described["Description"] == "e"
        assert sorted(described["VersionIdsToStages"].values()) == [["AWSCURRENT"], ["AWSPREVIOUS"]]

    play(tmp_path, story)


def test_a_token_is_for_one_value(tmp_path: Path) -> None:
    async def story(client: Client, world: World) -> None:
        await client("CreateSecret", Name="db")
        empty = await refused(client, "GetSecretValue", SecretId="db")
        assert empty[0] == "ResourceNotFoundException"
        for _ in range(2):
            put = await client("PutSecretValue", SecretId="db", SecretString="one", ClientRequestToken=TOKEN)
            assert put["VersionId"] == TOKEN
        other = await refused(client, "PutSecretValue", SecretId="db", SecretString="two", ClientRequestToken=TOKEN)
        assert other[0] == "ResourceExistsException"
        assert (await client("GetSecretValue", SecretId="db"))["SecretString"] == "one"

    play(tmp_path, story)


def test_deletion_and_return(tmp_path: Path) -> None:
    async def story(client: Client, world: World) -> None:
        await client("CreateSecret", Name="db", SecretString="one")
        await client("DeleteSecret", SecretId="db", RecoveryWindowInDays=7)
        for operation, params in (
            ("GetSecretValue", {}), ("PutSecretValue", {"SecretString": "x"}), ("DeleteSecret", {}),
        ):  # fmt: skip
            assert (await refused(client, operation, SecretId="db", **params))[0] == "InvalidRequestException"
        assert (await refused(client, "CreateSecret", Name="db"))[0] == "InvalidRequestException"
        assert (await client("ListSecrets"))["SecretList"] == []
        assert len((await client("ListSecrets", IncludePlannedDeletion=True))["SecretList"]) == 1
        await client("RestoreSecret", SecretId="db")
        assert (await client("GetSecretValue", SecretId="db"))["SecretString"] == "one"
        await client("DeleteSecret", SecretId="db", RecoveryWindowInDays=7)
        world.clock.at_ms += 8 * DAY_MS
        assert (await refused(client, "DescribeSecret", SecretId="db"))[0] == "ResourceNotFoundException"
        await client("CreateSecret", Name="db", SecretString="two")
        await client("DeleteSecret", SecretId="db", ForceDeleteWithoutRecovery=True)
        assert (await refused(client, "RestoreSecret", SecretId="db"))[0] == "ResourceNotFoundException"

    play(tmp_path, story)


def test_values_lie_sealed(tmp_path: Path) -> None:
    async def story(client: Client, world: World) -> None:
        await client("CreateSecret", Name="plain", SecretString="very secret")
        key = await world.keys.create(ACCOUNT, "us-east-1", description="", tags={})
        await client("CreateSecret", Name="keyed", SecretString="very secret", KmsKeyId=key.arn)
        assert (await client("GetSecretValue", SecretId="keyed"))["SecretString"] == "very secret"
        await client("UpdateSecret", SecretId="keyed", KmsKeyId="alias/aws/secretsmanager")
        assert (await client("GetSecretValue", SecretId="keyed"))["SecretString"] == "very secret"
        await world.keys.enable(key, False)
        assert (await refused(client, "GetSecretValue", SecretId="keyed"))[0] == "DisabledException"
        with sqlite3.connect(database(tmp_path)) as connection:
            documents = [row[0] for row in connection.execute("SELECT document FROM secrets")]
        assert len(documents) == 2
        assert not any("very" in document or b"very".hex() in document for document in documents)

    play(tmp_path, story)


def test_lists_and_refusals(tmp_path: Path) -> None:
    async def story(client: Client, world: World) -> None:
        for name in "abc":
            await client("CreateSecret", Name=name, Tags=[{"Key": "k", "Value": name}])
        page = await client("ListSecrets", MaxResults=2)
        assert [one["Name"] for one in page["SecretList"]] == ["a", "b"]
        rest = await client("ListSecrets", NextToken=page["NextToken"])
        assert [one["Tags"] for one in rest["SecretList"]] == [[{"Key": "k", "Value": "c"}]]
        assert (await refused(client, "CreateSecret", Name="a"))[0] == "ResourceExistsException"
        both = await refused(client, "CreateSecret", Name="x", SecretString="a", SecretBinary=b"b")
        assert both[0] == "InvalidParameterException"
        assert (await refused(client, "PutSecretValue", SecretId="a"))[0] == "InvalidRequestException"
        assert (await refused(client, "GetSecretValue", SecretId="none"))[0] == "ResourceNotFoundException"
        replicas = await refused(client, "CreateSecret", Name="x", AddReplicaRegions=[{"Region": "eu-west-1"}])
        assert replicas[0] == "NotImplementedException"

    play(tmp_path, story)
