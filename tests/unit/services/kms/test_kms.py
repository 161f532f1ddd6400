"""KMS as functions use it: keys, aliases, encryption with a context, data keys, and keys that are switched off."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable
from pathlib import Path

from paddock.backends.sql.sqlite import SqliteStore
from paddock.control.keys import Keys
from paddock.model.caller import Caller
from paddock.services.kms import SERVICE, Desk
from paddock.services.service import Mount
from tests.unit.services.harness import ACCOUNT, Client, CountingIds, StillClock, database, refused

MASTER = b"m" * 32


class World:
    def __init__(self, tmp_path: Path) -> None:
        self.path = database(tmp_path)
        self.clock, self.ids = StillClock(), CountingIds()

    async def open(self) -> Client:
        self.store = await SqliteStore.open(self.path)
        self.keys = Keys(store=self.store, master=MASTER, clock=self.clock, ids=self.ids)
        await self.keys.start()
        return Client(Mount(SERVICE, Desk(keys=self.keys, clock=self.clock, ids=self.ids)))

    async def reopen(self) -> Client:
        await self.close()
        return await self.open()

    async def close(self) -> None:
        await self.keys.stop()
        await self.store.close()


def play(tmp_path: Path, story: Callable[[Client, World], Awaitable[None]]) -> None:
    async def run() -> None:
        world = World(tmp_path)
        client = await world.open()
        try:
            await story(client, world)
        finally:
            await world.close()

    asyncio.run(run())


async def key(client: Client) -> str:
    found: str = (await client("CreateKey", Description="d"))["KeyMetadata"]["Arn"]
    return found


def test_what_is_encrypted_is_decrypted_with_its_context_alone(tmp_path: Path) -> None:
    async def story(client: Client, world: World) -> None:
        arn = await key(client)
        context = {"LambdaFunctionName": "f"}
        sealed = await client("Encrypt", KeyId=arn, Plaintext=b"secret", EncryptionContext=context)
        assert sealed["KeyId"] == arn
        assert b"secret" not in sealed["CiphertextBlob"]
        client = await world.reopen()
        opened = await client("Decrypt", CiphertextBlob=sealed["CiphertextBlob"], EncryptionContext=context)
        assert opened == {"KeyId": arn, "Plaintext": b"secret", "EncryptionAlgorithm": "SYMMETRIC_DEFAULT"}
        invalid = ("InvalidCiphertextException", "")
        for blob, said in (
            (sealed["CiphertextBlob"], {}),
            (sealed["CiphertextBlob"], {"LambdaFunctionName": "g"}),
            (sealed["CiphertextBlob"][:-1] + b"x", context),
            (b"x" * 40, context),
            (b"\x01", context),
        ):
            assert await refused(client, "Decrypt", CiphertextBlob=blob, EncryptionContext=said) == invalid
        other = await key(client)
        wrong = await refused(
            client, "Decrypt", CiphertextBlob=sealed["CiphertextBlob"], EncryptionContext=context, KeyId=other
        )
        assert wrong[0] == "IncorrectKeyException"
        assert (await client("Decrypt", CiphertextBlob=sealed["CiphertextBlob"], EncryptionContext=context, KeyId=arn))[
            "Plaintext"
        ] == b"secret"
        stranger = Client(client.mount, Caller(account="999999999999", region="us-east-1"))
        denied = await refused(
            stranger, "Decrypt", CiphertextBlob=sealed["CiphertextBlob"], EncryptionContext=context
        )  # fmt: skip
        assert denied[0] == "NotFoundException"

    play(tmp_path, story)


def test_aliases_name_keys(tmp_path: Path) -> None:
    async def story(client: Client, world: World) -> None:
        arn = await key(client)
        await client("CreateAlias", AliasName="alias/mine", TargetKeyId=arn)
        client = await world.reopen()
        for name in ("alias/mine", f"arn:aws:kms:us-east-1:{ACCOUNT}:alias/mine", arn, arn.rpartition("/")[2]):
            assert (await client("DescribeKey", KeyId=name))["KeyMetadata"]["Arn"] == arn
        listed = (await client("ListAliases", KeyId=arn))["Aliases"]
        assert [one["AliasName"] for one in listed] == ["alias/mine"]
        again = await refused(client, "CreateAlias", AliasName="alias/mine", TargetKeyId=arn)
        assert again[0] == "AlreadyExistsException"
        for name in ("mine", "alias/aws/lambda"):
            assert (await refused(client, "CreateAlias", AliasName=name, TargetKeyId=arn))[0] == (
                "InvalidAliasNameException"
            )
        await client("DeleteAlias", AliasName="alias/mine")
        assert (await refused(client, "DeleteAlias", AliasName="alias/mine"))[0] == "NotFoundException"
        assert (await refused(client, "DescribeKey", KeyId="alias/mine"))[0] == "NotFoundException"

    play(tmp_path, story)


def test_keys_that_are_switched_off(tmp_path: Path) -> None:
    async def story(client: Client, world: World) -> None:
        arn = await key(client)
        blob = (await client("Encrypt", KeyId=arn, Plaintext=b"x"))["CiphertextBlob"]
        await client("DisableKey", KeyId=arn)
        assert (await client("DescribeKey", KeyId=arn))["KeyMetadata"]["KeyState"] == "Disabled"
        assert (await refused(client, "Decrypt", CiphertextBlob=blob))[0] == "DisabledException"
        await client("EnableKey", KeyId=arn)
        assert (await client("Decrypt", CiphertextBlob=blob))["Plaintext"] == b"x"
        doomed = await client("ScheduleKeyDeletion", KeyId=arn, PendingWindowInDays=7)
        assert doomed["KeyState"] == "PendingDeletion"
        assert (await refused(client, "Encrypt", KeyId=arn, Plaintext=b"x"))[0] == "KMSInvalidStateException"
        await client("CancelKeyDeletion", KeyId=arn)
        await client("EnableKey", KeyId=arn)
        assert (await client("Decrypt", CiphertextBlob=blob))["Plaintext"] == b"x"
        await client("ScheduleKeyDeletion", KeyId=arn, PendingWindowInDays=7)
        world.clock.at_ms += 8 * 86_400_000
        assert (await refused(client, "DescribeKey", KeyId=arn))[0] == "NotFoundException"
        assert (await refused(client, "Decrypt", CiphertextBlob=blob))[0] == "NotFoundException"

    play(tmp_path, story)


def test_data_keys(tmp_path: Path) -> None:
    async def story(client: Client, world: World) -> None:
        arn = await key(client)
        for params, size in (({"KeySpec": "AES_256"}, 32), ({"KeySpec": "AES_128"}, 16), ({"NumberOfBytes": 5}, 5)):
            made = await client("GenerateDataKey", KeyId=arn, **params)
            assert len(made["Plaintext"]) == size
            opened = await client("Decrypt", CiphertextBlob=made["CiphertextBlob"])
            assert opened["Plaintext"] == made["Plaintext"]
        blind = await client("GenerateDataKeyWithoutPlaintext", KeyId=arn, KeySpec="AES_256")
        assert "Plaintext" not in blind
        for params in ({}, {"KeySpec": "AES_256", "NumberOfBytes": 3}):
            assert (await refused(client, "GenerateDataKey", KeyId=arn, **params))[0] == "ValidationException"

    play(tmp_path, story)


def test_no_key_lies_open_in_the_database(tmp_path: Path) -> None:
    async def story(client: Client, world: World) -> None:
        before = world.ids.given
        await key(client)
        materials = [nth(before + number) for number in range(1, 4)]
        with sqlite3.connect(world.path) as connection:
            (document,) = connection.execute("SELECT document FROM kms_keys").fetchone()
        assert not any(material in document for material in materials)
        pages = await client("ListKeys", Limit=1)
        assert len(pages["Keys"]) == 1
        assert pages["Truncated"] is False

    play(tmp_path, story)


def nth(number: int) -> str:
    ids = CountingIds()
    ids.given = number - 1
    return ids.hex(64)


def test_other_kinds_of_keys_are_refused(tmp_path: Path) -> None:
    async def story(client: Client, world: World) -> None:
        for params in ({"KeyUsage": "SIGN_VERIFY"}, {"KeySpec": "RSA_2048"}, {"MultiRegion": True}, {"Policy": "{}"}):
            assert (await refused(client, "CreateKey", **params))[0] == "NotImplementedException"

    play(tmp_path, story)
