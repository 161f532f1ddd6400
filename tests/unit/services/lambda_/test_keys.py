"""Environments at rest: sealed always, by a customer's key where one is given; and what becomes of a disabled key."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from paddock.model.errors import ServiceError
from tests.unit.control.world import ACCOUNT, REGION
from tests.unit.services.lambda_.test_lambda import MINIMAL, Client, tell

SECRET = {"Variables": {"PASSWORD": "very secret"}}


def documents(client: Client) -> str:
    with sqlite3.connect(client.world.directory / "paddock.db") as connection:
        rows = connection.execute(
            "SELECT latest || coalesce(serving, '') FROM functions UNION ALL SELECT document FROM function_versions"
        ).fetchall()
    return "\n".join(row[0] for row in rows)


async def code_of(client: Client, operation: str, **params: object) -> str:
    with pytest.raises(ServiceError) as caught:
        await client(operation, **params)
    assert caught.value.status == 502
    return caught.value.code


def test_environments_lie_sealed_and_come_back(tmp_path: Path) -> None:
    async def story(client: Client) -> None:
        await client.created(Environment=SECRET)
        await client("PublishVersion", FunctionName="f")
        assert "very" not in documents(client)
        assert b"very".hex() not in documents(client)
        await client.world.restart()
        again = Client(client.world)
        for qualifier in ({}, {"Qualifier": "1"}):
            shown = (await again("GetFunctionConfiguration", FunctionName="f", **qualifier)).json
            assert shown["Environment"] == SECRET
            assert "KMSKeyArn" not in shown
        same = await again("PublishVersion", FunctionName="f")
        assert same.json["Version"] == "1", "sealing anew is no change"

    tell(tmp_path, story)


def test_a_customers_key(tmp_path: Path) -> None:
    async def story(client: Client) -> None:
        keys = client.world.keys
        key = await keys.create(ACCOUNT, REGION, description="", tags={})
        await client.created(Environment=SECRET, KMSKeyArn=key.arn)
        assert (await client("GetFunctionConfiguration", FunctionName="f")).json["KMSKeyArn"] == key.arn
        assert (await client("Invoke", FunctionName="f")).status == 200
        await keys.enable(key, False)
        assert await code_of(client, "Invoke", FunctionName="f") == "KMSDisabledException"
        create = {**MINIMAL, "FunctionName": "g", "KMSKeyArn": key.arn}
        assert await code_of(client, "CreateFunction", **create) == "KMSDisabledException"
        absent = {"FunctionName": "f", "KMSKeyArn": key.arn[:-1] + "x"}
        assert await code_of(client, "UpdateFunctionConfiguration", **absent) == "KMSNotFoundException"
        await keys.delete_later(key, 7)
        assert await code_of(client, "Invoke", FunctionName="f") == "KMSInvalidStateException"
        await client.world.restart()
        again = Client(client.world)
        await again("UpdateFunctionConfiguration", FunctionName="f", KMSKeyArn="")
        await again.world.settled()
        shown = (await again("GetFunctionConfiguration", FunctionName="f")).json
        assert "KMSKeyArn" not in shown
        assert shown["Environment"] == SECRET
        assert (await again("Invoke", FunctionName="f")).status == 200

    tell(tmp_path, story)


def test_what_an_older_paddock_left_open_is_sealed_at_start(tmp_path: Path) -> None:
    async def story(client: Client) -> None:
        await client.created(Environment=SECRET)
        await client.world.close()
        with sqlite3.connect(client.world.directory / "paddock.db") as connection:
            for column in ("latest", "serving"):
                connection.execute(
                    f"UPDATE functions SET {column} = json_set({column}, '$.sealed_environment', '', "
                    "'$.environment', json('{\"PASSWORD\":\"very secret\"}'))"
                )
        assert "very" in documents(client)
        await client.world.open()
        assert "very" not in documents(client)
        shown = (await Client(client.world)("GetFunctionConfiguration", FunctionName="f")).json
        assert shown["Environment"] == SECRET

    tell(tmp_path, story)
