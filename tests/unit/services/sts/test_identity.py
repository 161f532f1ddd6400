"""STS over the wire: who calls, whom a role lets in, and what temporary credentials are worth."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from paddock.backends.sql.sqlite import SqliteStore
from paddock.control.keys import Keys
from paddock.control.sessions import Sessions
from paddock.model.caller import Caller
from paddock.model.errors import AccessDenied
from paddock.model.session import account_of
from paddock.services import sts
from paddock.services.iam import SERVICE as IAM
from paddock.services.iam import Desk as IamDesk
from paddock.services.iam import Roles
from paddock.services.service import Mount
from tests.unit.services.harness import ACCOUNT, NOW_MS, Client, CountingIds, StillClock, database, refused

ROLE = f"arn:aws:iam::{ACCOUNT}:role/team/worker"
OTHER = "999988887777"


class World:
    """Both services on one store."""

    def __init__(self, store: SqliteStore) -> None:
        self.clock, ids = StillClock(), CountingIds()
        self.sessions = Sessions(Keys(store=store, master=b"k" * 32, clock=self.clock, ids=ids), self.clock, ids)
        self._desk = sts.Desk(
            roles=Roles(store), sessions=self.sessions, clock=self.clock, default_account="000000000000"
        )
        self.iam = Client(Mount(IAM, IamDesk(store=store, clock=self.clock, ids=ids, managed={})))

    def sts(self, account: str = ACCOUNT, keys: Mapping[str, str] | None = None) -> Client:
        """As a caller of that account, or with temporary credentials as the front recognises them."""
        caller = Caller(account=account, region="us-east-1")
        if keys is not None:
            session = self.sessions.of(keys["AccessKeyId"], keys["SessionToken"])
            assert session is not None
            caller = Caller(account=session.account, region="us-east-1", session=session)
        return Client(Mount(sts.SERVICE, self._desk), caller)

    async def role(self, principal: Any, condition: Any = None, **more: Any) -> None:
        statement = {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": principal}
        statement |= {"Condition": condition} if condition else {}
        document = json.dumps({"Version": "2012-10-17", "Statement": statement})
        await self.iam("CreateRole", RoleName="worker", Path="/team/", AssumeRolePolicyDocument=document, **more)


def tell(tmp_path: Path, story: Callable[[World], Awaitable[None]]) -> None:
    async def told() -> None:
        store = await SqliteStore.open(database(tmp_path))
        try:
            await story(World(store))
        finally:
            await store.close()

    asyncio.run(told())


def test_who_calls(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        assert await world.sts()("GetCallerIdentity") == {
            "UserId": ACCOUNT,
            "Account": ACCOUNT,
            "Arn": f"arn:aws:iam::{ACCOUNT}:root",
        }

    tell(tmp_path, story)


def test_a_role_that_trusts_its_account_is_assumed(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        await world.role({"AWS": f"arn:aws:iam::{ACCOUNT}:root"})
        role_id = (await world.iam("GetRole", RoleName="worker"))["Role"]["RoleId"]
        answer = await world.sts()("AssumeRole", RoleArn=ROLE, RoleSessionName="me", DurationSeconds=900)
        keys = answer["Credentials"]
        arn = f"arn:aws:sts::{ACCOUNT}:assumed-role/worker/me"
        assert answer["AssumedRoleUser"] == {"AssumedRoleId": f"{role_id}:me", "Arn": arn}
        assert keys["Expiration"] == datetime.fromtimestamp(NOW_MS // 1000 + 900, UTC)
        assert account_of(keys["AccessKeyId"]) == ACCOUNT
        found = await world.sts(keys=keys)("GetCallerIdentity")
        assert found == {"UserId": f"{role_id}:me", "Account": ACCOUNT, "Arn": arn}
        assert await world.sts()("GetAccessKeyInfo", AccessKeyId=keys["AccessKeyId"]) == {"Account": ACCOUNT}
        assert await world.sts()("GetAccessKeyInfo", AccessKeyId="AKIA" + "A" * 16) == {"Account": "000000000000"}

    tell(tmp_path, story)


@pytest.mark.parametrize(
    ("principal", "condition", "params", "allowed"),
    [
        ({"Service": "lambda.amazonaws.com"}, None, {}, False),
        ({"AWS": f"arn:aws:iam::{OTHER}:root"}, None, {}, False),
        ({"AWS": "*"}, None, {}, True),
        ({"AWS": ACCOUNT}, {"StringEquals": {"sts:ExternalId": "secret"}}, {}, False),
        ({"AWS": ACCOUNT}, {"StringEquals": {"sts:ExternalId": "secret"}}, {"ExternalId": "wrong"}, False),
        ({"AWS": ACCOUNT}, {"StringEquals": {"sts:ExternalId": "secret"}}, {"ExternalId": "secret"}, True),
        ({"AWS": ACCOUNT}, {"StringLike": {"sts:RoleSessionName": "m?"}}, {}, True),
        ({"AWS": ACCOUNT}, {"StringLike": {"sts:RoleSessionName": "x*"}}, {}, False),
    ],
)
def test_whom_a_role_trusts(tmp_path: Path, principal: Any, condition: Any, params: Any, allowed: bool) -> None:
    async def story(world: World) -> None:
        await world.role(principal, condition)
        asked = {"RoleArn": ROLE, "RoleSessionName": "me", **params}
        if allowed:
            assert (await world.sts()("AssumeRole", **asked))["Credentials"]["SessionToken"]
        else:
            code, text = await refused(world.sts(), "AssumeRole", **asked)
            assert (code, text) == (
                "AccessDenied",
                f"User: arn:aws:iam::{ACCOUNT}:root is not authorized to perform: sts:AssumeRole on resource: {ROLE}",
            )

    tell(tmp_path, story)


def test_a_role_that_is_not_there_is_denied_in_the_same_words(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        code, text = await refused(world.sts(), "AssumeRole", RoleArn=ROLE, RoleSessionName="me")
        assert code == "AccessDenied"
        assert text.endswith(f"sts:AssumeRole on resource: {ROLE}")
        await world.role({"AWS": "*"})
        without_path = ROLE.replace("team/", "")
        assert (await refused(world.sts(), "AssumeRole", RoleArn=without_path, RoleSessionName="me"))[0] == code

    tell(tmp_path, story)


def test_from_one_role_to_another(tmp_path: Path) -> None:
    """Across accounts, for an hour at most; the second role sees the session that asks."""

    async def story(world: World) -> None:
        await world.role({"AWS": f"arn:aws:sts::{ACCOUNT}:assumed-role/worker/me"}, MaxSessionDuration=7200)
        asked = {"RoleArn": ROLE, "RoleSessionName": "me"}
        assert (await refused(world.sts(), "AssumeRole", **asked))[0] == "AccessDenied"
        await world.iam(
            "UpdateAssumeRolePolicy",
            RoleName="worker",
            PolicyDocument=json.dumps(
                {
                    "Version": "2012-10-17",
                    "Statement": {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"AWS": [OTHER, ROLE]}},
                }
            ),
        )
        keys = (await world.sts(OTHER)("AssumeRole", **asked))["Credentials"]
        again = await world.sts(keys=keys)("AssumeRole", RoleArn=ROLE, RoleSessionName="again")
        assert again["AssumedRoleUser"]["Arn"] == f"arn:aws:sts::{ACCOUNT}:assumed-role/worker/again"
        code, text = await refused(world.sts(keys=keys), "AssumeRole", **asked, DurationSeconds=3601)
        assert (code, "role chaining" in text) == ("ValidationError", True)
        assert (await refused(world.sts(keys=keys), "GetSessionToken"))[0] == "AccessDenied"

    tell(tmp_path, story)


def test_how_long_a_session_may_last(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        await world.role({"AWS": "*"})
        asked = {"RoleArn": ROLE, "RoleSessionName": "me"}
        code, text = await refused(world.sts(), "AssumeRole", **asked, DurationSeconds=3601)
        assert (code, text) == (
            "ValidationError",
            "The requested DurationSeconds exceeds the MaxSessionDuration set for this role.",
        )
        keys = (await world.sts()("AssumeRole", **asked))["Credentials"]
        world.clock.at_ms += 3_599_000
        await world.sts(keys=keys)("GetCallerIdentity")
        world.clock.at_ms += 1_000
        with pytest.raises(AccessDenied) as caught:
            world.sts(keys=keys)
        assert caught.value.code == "ExpiredTokenException"

    tell(tmp_path, story)


def test_a_session_of_the_root(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        keys = (await world.sts()("GetSessionToken", DurationSeconds=129_600))["Credentials"]
        assert keys["Expiration"] == datetime.fromtimestamp(NOW_MS // 1000 + 3600, UTC)
        assert (await world.sts(keys=keys)("GetCallerIdentity"))["Arn"] == f"arn:aws:iam::{ACCOUNT}:root"

    tell(tmp_path, story)


def test_tokens_that_are_not_what_they_say(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        one, two = [(await world.sts()("GetSessionToken"))["Credentials"] for _ in range(2)]
        token = one["SessionToken"]
        for forged in (two["SessionToken"], token[:-4] + "AAAA", token[:20], "Paddock.", "Paddock.%%%"):
            with pytest.raises(AccessDenied) as caught:
                world.sessions.of(one["AccessKeyId"], forged)
            assert caught.value.code == "UnrecognizedClientException"
        assert world.sessions.of(one["AccessKeyId"], "IQoJb3JpZ2luX2VjEA") is None

    tell(tmp_path, story)


@pytest.mark.parametrize(
    "more",
    [
        {"Policy": "{}"},
        {"PolicyArns": [{"arn": "arn:aws:iam::aws:policy/ReadOnlyAccess"}]},
        {"Tags": [{"Key": "a", "Value": "b"}]},
        {"SourceIdentity": "me"},
        {"SerialNumber": "GAHT12345678", "TokenCode": "123456"},
    ],
)
def test_what_would_limit_a_session_is_refused(tmp_path: Path, more: Any) -> None:
    async def story(world: World) -> None:
        await world.role({"AWS": "*"})
        code, text = await refused(world.sts(), "AssumeRole", RoleArn=ROLE, RoleSessionName="me", **more)
        assert code == "NotImplementedException"
        assert next(iter(more)) in text

    tell(tmp_path, story)
