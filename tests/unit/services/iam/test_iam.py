"""Roles and policies: every rule and text, through botocore's own serializer and parser."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from paddock.backends.sql.sqlite import SqliteStore
from paddock.backends.sql.statements import load_catalogue
from paddock.model.caller import Caller
from paddock.model.policy import Kind, parse
from paddock.services import iam
from paddock.services.iam.managed import load_managed
from paddock.services.service import Call, Mount
from tests.unit.services.harness import Client, CountingIds, StillClock, database, refused

TRUST = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}
        ],
    }
)
ALLOW = json.dumps(
    {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"}]}
)
BASIC = "arn:aws:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole"
Story = Callable[[Client], Awaitable[None]]


def play(tmp_path: Path, story: Story) -> None:
    async def run() -> None:
        store = await SqliteStore.open(database(tmp_path), statements=load_catalogue())
        desk = iam.Desk(store=store, clock=StillClock(), ids=CountingIds(), managed=load_managed())
        try:
            await story(Client(Mount(iam.SERVICE, desk)))
        finally:
            await store.close()

    asyncio.run(run())


async def make_role(client: Client, name: str = "r", **more: Any) -> dict[str, Any]:
    made = await client("CreateRole", RoleName=name, AssumeRolePolicyDocument=TRUST, **more)
    role: dict[str, Any] = made["Role"]
    return role


def test_a_role_is_created_and_read_back(tmp_path: Path) -> None:
    async def story(client: Client) -> None:
        tags = [{"Key": "b", "Value": "1"}, {"Key": "a", "Value": "2"}]
        made = await make_role(client, Path="/team/", Description="d", MaxSessionDuration=7200, Tags=tags)
        assert made["Arn"] == "arn:aws:iam::123456789012:role/team/r"
        assert made["RoleId"].startswith("AROA")
        assert len(made["RoleId"]) == 21
        assert made["RoleId"].isalnum()
        assert made["RoleId"].isupper()
        assert (made["MaxSessionDuration"], made["Description"], made["Tags"]) == (7200, "d", tags)
        assert (await client("GetRole", RoleName="R"))["Role"] == made  # names are one without regard to case
        listed = (await client("ListRoles"))["Roles"]
        assert [role["RoleName"] for role in listed] == ["r"]
        assert "Tags" not in listed[0]

    play(tmp_path, story)


def test_documents_are_url_encoded_on_the_wire(tmp_path: Path) -> None:
    async def story(client: Client) -> None:
        await make_role(client)
        output = await iam.SERVICE.modules[0].get_role(  # type: ignore[attr-defined]
            client.mount.desk, _call(client, RoleName="r")
        )
        assert output["Role"]["AssumeRolePolicyDocument"].startswith("%7B%22Version%22%3A%20%222012-10-17%22")

    play(tmp_path, story)


def _call(client: Client, **params: Any) -> Any:

    return Call(caller=client.caller, request_id="r", params=params)


def test_role_refusals(tmp_path: Path) -> None:
    async def story(client: Client) -> None:
        await make_role(client)
        assert await refused(client, "CreateRole", RoleName="R", AssumeRolePolicyDocument=TRUST) == (
            "EntityAlreadyExists", "Role with name R already exists.",
        )  # fmt: skip
        missing = ("NoSuchEntity", "The role with name nope cannot be found.")
        for operation, params in {
            "GetRole": {}, "DeleteRole": {}, "UpdateRole": {}, "ListRoleTags": {}, "ListRolePolicies": {},
            "ListAttachedRolePolicies": {}, "ListInstanceProfilesForRole": {},
            "TagRole": {"Tags": [{"Key": "a", "Value": "b"}]}, "UntagRole": {"TagKeys": ["a"]},
            "UpdateAssumeRolePolicy": {"PolicyDocument": TRUST}, "AttachRolePolicy": {"PolicyArn": BASIC},
            "DetachRolePolicy": {"PolicyArn": BASIC}, "GetRolePolicy": {"PolicyName": "p"},
            "PutRolePolicy": {"PolicyName": "p", "PolicyDocument": ALLOW}, "DeleteRolePolicy": {"PolicyName": "p"},
        }.items():  # fmt: skip
            assert await refused(client, operation, RoleName="nope", **params) == missing, operation
        code, message = await refused(
            client, "CreateRole", RoleName="b", AssumeRolePolicyDocument=TRUST,
            PermissionsBoundary="arn:aws:iam::aws:policy/AdministratorAccess",
        )  # fmt: skip
        assert code == "NotImplementedException"
        assert "PermissionsBoundary" in message
        code, _ = await refused(client, "CreateRole", RoleName="b", AssumeRolePolicyDocument=ALLOW)
        assert code == "MalformedPolicyDocument"
        long = TRUST.replace("lambda.", "l" * 2048 + ".")
        assert await refused(client, "CreateRole", RoleName="b", AssumeRolePolicyDocument=long) == (
            "LimitExceeded", "Cannot exceed quota for ACLSizePerRole: 2048",
        )  # fmt: skip
        assert [role["RoleName"] for role in (await client("ListRoles"))["Roles"]] == ["r"]

    play(tmp_path, story)


def test_a_role_is_changed_and_tagged(tmp_path: Path) -> None:
    async def story(client: Client) -> None:
        await make_role(client, Tags=[{"Key": "Old", "Value": "1"}], Description="before", MaxSessionDuration=7200)
        await client("UpdateRole", RoleName="r", Description="new")
        await client("UpdateAssumeRolePolicy", RoleName="r", PolicyDocument=TRUST.replace("lambda", "edgelambda"))
        await client("TagRole", RoleName="r", Tags=[{"Key": "old", "Value": "2"}, {"Key": "k", "Value": "v"}])
        role = (await client("GetRole", RoleName="r"))["Role"]
        assert (role["Description"], role["MaxSessionDuration"]) == ("new", 3600)
        assert "edgelambda" in json.dumps(role["AssumeRolePolicyDocument"])
        assert role["Tags"] == [{"Key": "Old", "Value": "2"}, {"Key": "k", "Value": "v"}]
        await client("UntagRole", RoleName="r", TagKeys=["OLD"])
        assert (await client("ListRoleTags", RoleName="r"))["Tags"] == [{"Key": "k", "Value": "v"}]
        twice = [{"Key": "a", "Value": "1"}, {"Key": "A", "Value": "2"}]
        assert (await refused(client, "TagRole", RoleName="r", Tags=twice))[0] == "InvalidInput"
        many = [{"Key": f"k{number}", "Value": ""} for number in range(50)]
        await client("UntagRole", RoleName="r", TagKeys=["k"])
        await client("TagRole", RoleName="r", Tags=many)
        more = [{"Key": "one more", "Value": ""}]
        assert (await refused(client, "TagRole", RoleName="r", Tags=more))[0] == "LimitExceeded"

    play(tmp_path, story)


def test_roles_are_paged(tmp_path: Path) -> None:
    async def story(client: Client) -> None:
        for name in ("c", "A", "b", "other"):
            await make_role(client, name, Path="/x/" if name == "other" else "/y/")
        first = await client("ListRoles", PathPrefix="/y", MaxItems=2)
        assert [role["RoleName"] for role in first["Roles"]] == ["A", "b"]
        assert first["IsTruncated"]
        rest = await client("ListRoles", PathPrefix="/y", MaxItems=2, Marker=first["Marker"])
        assert [role["RoleName"] for role in rest["Roles"]] == ["c"]
        assert not rest["IsTruncated"]
        assert (await refused(client, "ListRoles", Marker="?!"))[0] == "ValidationError"

    play(tmp_path, story)


def test_inline_policies(tmp_path: Path) -> None:
    async def story(client: Client) -> None:
        await make_role(client)
        await client("PutRolePolicy", RoleName="r", PolicyName="P", PolicyDocument=ALLOW)
        await client("PutRolePolicy", RoleName="r", PolicyName="q", PolicyDocument=ALLOW)
        found = await client("GetRolePolicy", RoleName="r", PolicyName="P")
        assert (found["RoleName"], found["PolicyName"]) == ("r", "P")
        assert (await client("ListRolePolicies", RoleName="r"))["PolicyNames"] == ["P", "q"]
        assert await refused(client, "GetRolePolicy", RoleName="r", PolicyName="x") == (
            "NoSuchEntity", "The role policy with name x cannot be found.",
        )  # fmt: skip
        assert await refused(client, "DeleteRole", RoleName="r") == (
            "DeleteConflict", "Cannot delete entity, must delete policies first.",
        )  # fmt: skip
        big = ALLOW.replace("s3:GetObject", "s3:" + "G" * 10_000)
        assert await refused(client, "PutRolePolicy", RoleName="r", PolicyName="big", PolicyDocument=big) == (
            "LimitExceeded", "Maximum policy size of 10240 bytes exceeded for role r",
        )  # fmt: skip
        await client("DeleteRolePolicy", RoleName="r", PolicyName="P")
        await client("DeleteRolePolicy", RoleName="r", PolicyName="q")
        assert (await refused(client, "DeleteRolePolicy", RoleName="r", PolicyName="q"))[0] == "NoSuchEntity"
        await client("DeleteRole", RoleName="r")
        assert (await client("ListRoles"))["Roles"] == []

    play(tmp_path, story)


def test_attachments(tmp_path: Path) -> None:
    async def story(client: Client) -> None:
        await make_role(client)
        await client("AttachRolePolicy", RoleName="r", PolicyArn=BASIC)
        await client("AttachRolePolicy", RoleName="r", PolicyArn=BASIC)
        attached = await client("ListAttachedRolePolicies", RoleName="r")
        assert attached["AttachedPolicies"] == [{"PolicyName": "AWSLambdaBasicExecutionRole", "PolicyArn": BASIC}]
        assert (await client("ListAttachedRolePolicies", RoleName="r", PathPrefix="/x/"))["AttachedPolicies"] == []
        assert (await client("GetPolicy", PolicyArn=BASIC))["Policy"]["AttachmentCount"] == 1
        entities = await client("ListEntitiesForPolicy", PolicyArn=BASIC)
        assert [role["RoleName"] for role in entities["PolicyRoles"]] == ["r"]
        assert (await client("ListEntitiesForPolicy", PolicyArn=BASIC, EntityFilter="User"))["PolicyRoles"] == []
        absent = "arn:aws:iam::123456789012:policy/absent"
        assert await refused(client, "AttachRolePolicy", RoleName="r", PolicyArn=absent) == (
            "NoSuchEntity", f"Policy {absent} does not exist or is not attachable.",
        )  # fmt: skip
        assert await refused(client, "DetachRolePolicy", RoleName="r", PolicyArn=absent) == (
            "NoSuchEntity", f"Policy {absent} was not found.",
        )  # fmt: skip
        assert (await refused(client, "AttachRolePolicy", RoleName="r", PolicyArn="x" * 20))[0] == "InvalidInput"
        assert await refused(client, "DeleteRole", RoleName="r") == (
            "DeleteConflict", "Cannot delete entity, must detach all policies first.",
        )  # fmt: skip
        await client("DetachRolePolicy", RoleName="r", PolicyArn=BASIC)
        await client("DeleteRole", RoleName="r")

    play(tmp_path, story)


def test_no_more_than_ten_attachments(tmp_path: Path) -> None:
    async def story(client: Client) -> None:
        await make_role(client)
        for number in range(11):
            made = await client("CreatePolicy", PolicyName=f"p{number}", PolicyDocument=ALLOW)
            if number < 10:
                await client("AttachRolePolicy", RoleName="r", PolicyArn=made["Policy"]["Arn"])
        assert await refused(client, "AttachRolePolicy", RoleName="r", PolicyArn=made["Policy"]["Arn"]) == (
            "LimitExceeded", "Cannot exceed quota for PoliciesPerRole: 10",
        )  # fmt: skip

    play(tmp_path, story)


def test_the_life_of_a_managed_policy(tmp_path: Path) -> None:
    async def story(client: Client) -> None:
        made = (await client("CreatePolicy", PolicyName="P", Path="/t/", PolicyDocument=ALLOW, Description="d"))[
            "Policy"
        ]
        arn = "arn:aws:iam::123456789012:policy/t/P"
        assert (made["Arn"], made["DefaultVersionId"], made["AttachmentCount"]) == (arn, "v1", 0)
        assert made["PolicyId"].startswith("ANPA")
        assert await refused(client, "CreatePolicy", PolicyName="p", PolicyDocument=ALLOW) == (
            "EntityAlreadyExists", "A policy called p already exists. Duplicate names are not allowed.",
        )  # fmt: skip
        second = await client("CreatePolicyVersion", PolicyArn=arn, PolicyDocument=ALLOW, SetAsDefault=True)
        assert second["PolicyVersion"]["VersionId"] == "v2"
        assert second["PolicyVersion"]["IsDefaultVersion"]
        for _ in range(3):
            await client("CreatePolicyVersion", PolicyArn=arn, PolicyDocument=ALLOW)
        assert (await refused(client, "CreatePolicyVersion", PolicyArn=arn, PolicyDocument=ALLOW))[0] == "LimitExceeded"
        page = await client("ListPolicyVersions", PolicyArn=arn, MaxItems=3)
        rest = await client("ListPolicyVersions", PolicyArn=arn, MaxItems=3, Marker=page["Marker"])
        versions = [version["VersionId"] for version in page["Versions"] + rest["Versions"]]
        assert versions == ["v5", "v4", "v3", "v2", "v1"]
        assert await refused(client, "DeletePolicyVersion", PolicyArn=arn, VersionId="v2") == (
            "DeleteConflict", "Cannot delete the default version of a policy.",
        )  # fmt: skip
        await client("SetDefaultPolicyVersion", PolicyArn=arn, VersionId="v3")
        found = await client("GetPolicyVersion", PolicyArn=arn, VersionId="v3")
        assert found["PolicyVersion"]["IsDefaultVersion"]
        code, message = await refused(client, "DeletePolicy", PolicyArn=arn)
        assert code == "DeleteConflict"
        assert message.startswith("This policy has more than one version.")
        for number in (1, 2, 4, 5):
            await client("DeletePolicyVersion", PolicyArn=arn, VersionId=f"v{number}")
        assert await refused(client, "GetPolicyVersion", PolicyArn=arn, VersionId="v1") == (
            "NoSuchEntity", f"Policy {arn} version v1 does not exist or is not attachable.",
        )  # fmt: skip
        again = await client("CreatePolicyVersion", PolicyArn=arn, PolicyDocument=ALLOW)
        assert again["PolicyVersion"]["VersionId"] == "v6"  # numbers are never used twice
        await client("DeletePolicyVersion", PolicyArn=arn, VersionId="v6")
        await make_role(client)
        await client("AttachRolePolicy", RoleName="r", PolicyArn=arn)
        assert await refused(client, "DeletePolicy", PolicyArn=arn) == (
            "DeleteConflict", "Cannot delete a policy attached to entities.",
        )  # fmt: skip
        await client("DetachRolePolicy", RoleName="r", PolicyArn=arn)
        await client("DeletePolicy", PolicyArn=arn)
        assert await refused(client, "GetPolicy", PolicyArn=arn) == ("NoSuchEntity", f"Policy {arn} was not found.")

    play(tmp_path, story)


def test_policies_are_listed_by_scope_and_paged(tmp_path: Path) -> None:
    async def story(client: Client) -> None:
        await client("CreatePolicy", PolicyName="mine", PolicyDocument=ALLOW)
        local = (await client("ListPolicies", Scope="Local"))["Policies"]
        assert [policy["PolicyName"] for policy in local] == ["mine"]
        aws = (await client("ListPolicies", Scope="AWS"))["Policies"]
        assert len(aws) == len(load_managed())
        names: list[str] = []
        more: dict[str, str] = {}
        while True:
            page = await client("ListPolicies", MaxItems=4, **more)
            names += [policy["PolicyName"] for policy in page["Policies"]]
            if not page["IsTruncated"]:
                break
            more = {"Marker": page["Marker"]}
        assert sorted(names) == sorted({policy["PolicyName"] for policy in aws} | {"mine"})
        assert (await client("ListPolicies", OnlyAttached=True))["Policies"] == []

    play(tmp_path, story)


def test_awss_own_policies_cannot_be_changed(tmp_path: Path) -> None:
    async def story(client: Client) -> None:
        for operation, params in {
            "DeletePolicy": {}, "CreatePolicyVersion": {"PolicyDocument": ALLOW},
            "SetDefaultPolicyVersion": {"VersionId": "v1"}, "DeletePolicyVersion": {"VersionId": "v1"},
        }.items():  # fmt: skip
            assert (await refused(client, operation, PolicyArn=BASIC, **params))[0] == "AccessDenied"

    play(tmp_path, story)


def test_accounts_do_not_see_each_other(tmp_path: Path) -> None:
    async def story(client: Client) -> None:
        await make_role(client)
        other = Client(client.mount, replace(client.caller, account="999999999999"))
        assert (await other("ListRoles"))["Roles"] == []
        assert (await make_role(other))["Arn"] == "arn:aws:iam::999999999999:role/r"
        elsewhere = Client(client.mount, Caller(account="123456789012", region="eu-west-1"))
        assert len((await elsewhere("ListRoles"))["Roles"]) == 1  # IAM is global

    play(tmp_path, story)


@pytest.mark.parametrize("arn", sorted(load_managed()))
def test_awss_documents_are_policies(arn: str) -> None:
    policy = load_managed()[arn]
    assert policy.versions[0].number == policy.default_version
    assert parse(policy.versions[0].document, Kind.IDENTITY).statements


def test_the_roles_that_functions_need_are_there() -> None:
    names = {policy.name for policy in load_managed().values()}
    assert names >= {
        "AWSLambdaBasicExecutionRole", "AWSLambdaVPCAccessExecutionRole", "AWSLambdaSQSQueueExecutionRole",
        "AWSLambdaKinesisExecutionRole", "AWSLambdaDynamoDBExecutionRole", "AWSXRayDaemonWriteAccess",
        "AmazonS3ReadOnlyAccess", "AmazonS3FullAccess", "AdministratorAccess",
    }  # fmt: skip


def test_what_terraform_changes_of_a_role_and_a_policy(tmp_path: Path) -> None:
    async def story(client: Client) -> None:
        await make_role(client, Description="old")
        changed = (await client("UpdateRoleDescription", RoleName="r", Description="new"))["Role"]
        assert (changed["Description"], changed["MaxSessionDuration"]) == ("new", 3600)
        assert (await client("GetRole", RoleName="r"))["Role"]["Description"] == "new"
        assert (await refused(client, "UpdateRoleDescription", RoleName="x", Description="d"))[0] == "NoSuchEntity"
        tags = [{"Key": "a", "Value": "1"}]
        arn = (await client("CreatePolicy", PolicyName="p", PolicyDocument=ALLOW, Tags=tags))["Policy"]["Arn"]
        await client("TagPolicy", PolicyArn=arn, Tags=[{"Key": "A", "Value": "2"}, {"Key": "b", "Value": "3"}])
        both = [{"Key": "a", "Value": "2"}, {"Key": "b", "Value": "3"}]
        assert (await client("ListPolicyTags", PolicyArn=arn))["Tags"] == both
        await client("UntagPolicy", PolicyArn=arn, TagKeys=["B"])
        assert (await client("GetPolicy", PolicyArn=arn))["Policy"]["Tags"] == both[:1]
        page = await client("ListPolicyTags", PolicyArn=BASIC)
        assert (page["Tags"], page["IsTruncated"]) == ([], False)
        assert (await refused(client, "TagPolicy", PolicyArn=BASIC, Tags=tags))[0] == "AccessDenied"
        assert (await refused(client, "UntagPolicy", PolicyArn=arn + "x", TagKeys=["a"]))[0] == "NoSuchEntity"
        assert (await client("ListAccountAliases"))["AccountAliases"] == []

    play(tmp_path, story)
