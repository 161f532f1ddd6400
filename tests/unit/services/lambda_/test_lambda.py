"""Lambda's operations as a caller sees them: through the service model's constraints and serializer."""

from __future__ import annotations

import asyncio
import base64
import json
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest

from paddock.control.code_signing import CodeSigning
from paddock.control.event_invokes import EventInvokes
from paddock.control.permissions import Permissions
from paddock.control.provisioned import ProvisionedConcurrency
from paddock.control.urls import Urls
from paddock.invoke.asynchronous import Asynchronous
from paddock.invoke.dispatcher import Dispatcher
from paddock.invoke.outbox import Outbox
from paddock.invoke.targets import TargetTable
from paddock.model.caller import Caller
from paddock.model.errors import (
    ClientError,
    InvalidParameterValue,
    InvalidRequestContent,
    NotYet,
    RequestEntityTooLarge,
    ResourceConflict,
    ResourceNotFound,
    ServiceError,
    TooManyRequests,
)
from paddock.model.image import ContainerImage, absent
from paddock.model.invocation import InvocationResult
from paddock.services.lambda_ import SERVICE, Desk
from paddock.services.service import Call, Reply, operations_of
from paddock.wire.constraints import violations
from paddock.wire.protocol import serialize
from paddock.wire.service import load_service
from tests.support.queue import MemoryQueue
from tests.support.shapes import misfits
from tests.unit.control.world import ACCOUNT, REGION, ROLE, World, package, play, ref

MODEL = load_service("lambda")
OPERATIONS = operations_of(MODEL.operation_names, *SERVICE.modules)
ARN = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:f"
MINIMAL = {
    "FunctionName": "f",
    "Runtime": "python3.12",
    "Role": ROLE,
    "Handler": "f.h",
    "Code": {"ZipFile": package()},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class NoPublishers:
    async def key_of(self, profile: str) -> bytes | None:
        return None


class NoObjects:
    """interfaces.ObjectReader without a single bucket."""

    async def read(self, account: str, bucket: str, key: str, version_id: str, bytes_max: int) -> bytes:
        raise ClientError("None here", code="NoSuchBucket", status=404)


class NoImages:
    """interfaces.Images without a single one."""

    async def resolve(self, uri: str, architecture: str) -> ContainerImage:
        raise absent(uri)

    async def fetch(self, image: ContainerImage) -> None:
        raise AssertionError("nothing was resolved")

    async def layer(self, digest: str) -> Path:
        raise FileNotFoundError(digest)

    async def known(self) -> Sequence[ContainerImage]:
        return ()

    async def prune(self, is_used: Callable[[str], bool]) -> tuple[Sequence[ContainerImage], int]:
        return (), 0


class Client:
    """Calls operations on a world."""

    def __init__(self, world: World, caller: Caller | None = None, signing: CodeSigning | None = None) -> None:
        self.world = world
        self.caller = caller or Caller(account=ACCOUNT, region=REGION)
        permissions = Permissions(world.catalogue, world.ids)
        dispatcher = Dispatcher(world.fleet, world.quotas, world.catalogue)
        event_invokes = EventInvokes(world.catalogue, permissions, world.clock)
        urls = Urls(world.catalogue, world.clock, world.ids)
        urls.start()
        self.queue = MemoryQueue(world.clock)
        self.outbox = Outbox(self.queue, TargetTable(), world.clock, world.ids)
        self.desk = Desk(
            catalogue=world.catalogue,
            signing=signing
            or CodeSigning(
                store=world.store, publishers=NoPublishers(), clock=world.clock, ids=world.ids, quotas=world.quotas
            ),
            permissions=permissions,
            provisioned=ProvisionedConcurrency(world.catalogue, world.fleet, world.clock, world.quotas),
            event_invokes=event_invokes,
            urls=urls,
            dispatcher=dispatcher,
            asynchronous=Asynchronous(
                queue=self.queue,
                backlog_bytes_max=1 << 30,
                outbox=self.outbox,
                dispatcher=dispatcher,
                functions=event_invokes,
                clock=world.clock,
                ids=world.ids,
                quotas=world.quotas,
            ),
            sends_to=lambda arn: ":kinesis:" not in arn,
            keys=world.keys,
            mappings=world.mappings,
            objects=NoObjects(),
            images=NoImages(),
            clock=world.clock,
            ids=world.ids,
            quotas=world.quotas,
            architecture="x86_64",
            runtimes=world.fleet.runtimes,
            modelled_runtimes=MODEL.model.shape_for("Runtime").enum,
            runtime_version_arn=lambda runtime, region: f"arn:aws:lambda:{region}::runtime:{runtime}",
            code_url=lambda digest: f"http://127.0.0.1:4566/code/{digest}",
            url_address=lambda url_id, region: f"http://{url_id}.lambda-url.{region}.localhost:4566/",
        )

    async def __call__(self, operation: str, trace_id: str = "", **params: Any) -> Answer:
        assert violations(MODEL.operation(operation), params) == []
        call = Call(caller=self.caller, request_id="the-request", params=params, trace_id=trace_id)
        output = await OPERATIONS[operation](self.desk, call)
        reply = output if isinstance(output, Reply) else Reply(output or {})
        assert misfits(MODEL.operation(operation).output_shape, reply.output) == []
        response = serialize(MODEL, operation, reply.output, call.request_id, reply.headers)
        assert isinstance(response.body, bytes)
        headers = {name.lower(): value for name, value in response.headers}
        assert len(headers) == len(response.headers)
        return Answer(status=response.status, headers=headers, body=response.body)

    async def created(self, **more: Any) -> None:
        await self("CreateFunction", **{**MINIMAL, **more})
        await self.world.settled()


def tell(tmp_path: Path, story: Callable[[Client], Awaitable[None]], **quotas: int) -> None:
    async def told(world: World) -> None:
        await story(Client(world))

    play(tmp_path, told, **quotas)


async def refusal(answer: Awaitable[Answer], kind: type[ServiceError]) -> str:
    with pytest.raises(kind) as caught:
        await answer
    return caught.value.message


def test_a_minimal_function_is_rendered_as_aws_does(tmp_path: Path) -> None:
    async def story(client: Client) -> None:
        created = await client("CreateFunction", **MINIMAL)
        assert created.status == 201
        body = created.json
        stored = client.world.catalogue.get(ref()).latest
        assert re.fullmatch(r"2026-01-02T03:04:\d\d\.678\+0000", body["LastModified"])
        assert base64.b64decode(body["CodeSha256"]).hex() == stored.code.digest
        assert body == {
            "FunctionName": "f",
            "FunctionArn": ARN,
            "Runtime": "python3.12",
            "Role": ROLE,
            "Handler": "f.h",
            "CodeSize": len(package()),
            "Description": "",
            "Timeout": 3,
            "MemorySize": 128,
            "LastModified": body["LastModified"],
            "CodeSha256": body["CodeSha256"],
            "Version": "$LATEST",
            "TracingConfig": {"Mode": "PassThrough"},
            "RevisionId": stored.revision_id,
            "State": "Pending",
            "StateReason": "The function is being created.",
            "StateReasonCode": "Creating",
            "PackageType": "Zip",
            "Architectures": ["x86_64"],
            "EphemeralStorage": {"Size": 512},
            "SnapStart": {"ApplyOn": "None", "OptimizationStatus": "Off"},
            "LoggingConfig": {"LogFormat": "Text", "LogGroup": "/aws/lambda/f"},
        }
        await client.world.settled()
        states = {"State": "Active", "LastUpdateStatus": "Successful"}
        shown = (await client("GetFunctionConfiguration", FunctionName="f")).json
        shared = {k: v for k, v in body.items() if not k.startswith("State") and k != "RevisionId"}
        assert shown == {**shared, **states, "RevisionId": shown["RevisionId"]}
        assert shown["RevisionId"] != body["RevisionId"]
        listed = (await client("ListFunctions")).json
        assert listed == {"Functions": [{**shared, "RevisionId": shown["RevisionId"]}]}

    tell(tmp_path, story)


def test_everything_set_comes_back(tmp_path: Path) -> None:
    async def story(client: Client) -> None:
        settings: dict[str, Any] = {
            "Description": "d",
            "Timeout": 900,
            "MemorySize": 10240,
            "EphemeralStorage": {"Size": 10240},
            "Environment": {"Variables": {"KEY": "v"}},
            "LoggingConfig": {"LogFormat": "JSON", "SystemLogLevel": "WARN", "LogGroup": "/mine"},
        }
        await client.created(**settings, Tags={"t": "1"}, FunctionName=ARN)
        got = (await client("GetFunction", FunctionName="f", Qualifier="$LATEST")).json
        expected = {**settings, "FunctionArn": f"{ARN}:$LATEST"}
        expected["LoggingConfig"] = {**settings["LoggingConfig"], "ApplicationLogLevel": "INFO"}
        assert {key: got["Configuration"][key] for key in expected} == expected
        digest = client.world.catalogue.get(ref()).latest.code.digest
        assert got["Code"] == {"RepositoryType": "S3", "Location": f"http://127.0.0.1:4566/code/{digest}"}
        assert got["Tags"] == {"t": "1"}

    tell(tmp_path, story)


def test_an_environment_sent_empty_is_shown_and_tags_unset_are_not(tmp_path: Path) -> None:
    async def story(client: Client) -> None:
        await client.created(Environment={"Variables": {}})
        got = (await client("GetFunction", FunctionName="f")).json
        assert got["Configuration"]["Environment"] == {"Variables": {}}
        assert "Tags" not in got

    tell(tmp_path, story)


DEFAULTS: dict[str, Any] = {
    "PackageType": "Zip",
    "Architectures": ["x86_64"],
    "SnapStart": {"ApplyOn": "None"},
    "TracingConfig": {"Mode": "PassThrough"},
    "Publish": False,
    "Layers": [],
    "FileSystemConfigs": [],
    "VpcConfig": {"SubnetIds": [], "SecurityGroupIds": [], "Ipv6AllowedForDualStack": False},
    "DeadLetterConfig": {"TargetArn": ""},
    "KMSKeyArn": "",
    "ImageConfig": {},
}
REFUSED: dict[str, Any] = {
    "Architectures": ["arm64"],
    "TracingConfig": {"Mode": "Active"},
    "PublishTo": "LATEST_PUBLISHED",
    "DurableConfig": {"ExecutionTimeout": 10},
    "AcceleratorConfig": {"AcceleratorMemorySize": 1},
}


def test_defaults_spelled_out_are_accepted(tmp_path: Path) -> None:
    async def story(client: Client) -> None:
        await client.created(**DEFAULTS)
        update = {k: v for k, v in DEFAULTS.items() if k not in ("PackageType", "Architectures", "Publish")}
        await client("UpdateFunctionConfiguration", FunctionName="f", **update)

    tell(tmp_path, story)


@pytest.mark.parametrize("name", list(REFUSED))
def test_other_settings_are_refused_by_name_and_nothing_is_made(tmp_path: Path, name: str) -> None:
    async def story(client: Client) -> None:
        assert name in await refusal(client("CreateFunction", **{**MINIMAL, name: REFUSED[name]}), NotYet)
        assert (await client("ListFunctions")).json == {"Functions": []}

    tell(tmp_path, story)


def test_every_input_member_is_honoured_or_refused(tmp_path: Path) -> None:
    """A member of a newer service model must not slip through unseen."""

    async def story(client: Client) -> None:
        for operation in ("CreateFunction", "UpdateFunctionConfiguration", "UpdateFunctionCode", "Invoke"):
            params = {**MINIMAL, "ZipFile": package(), "ANewSetting": {"On": True}}
            if operation != "CreateFunction":
                del params["Code"]
            if operation not in ("CreateFunction", "UpdateFunctionConfiguration"):
                for name in ("Runtime", "Role", "Handler"):
                    del params[name]
            if operation in ("CreateFunction", "UpdateFunctionConfiguration", "Invoke"):
                del params["ZipFile"]
            call = Call(caller=Caller(account=ACCOUNT, region=REGION), request_id="r", params=params)
            with pytest.raises(NotYet, match="ANewSetting"):
                await OPERATIONS[operation](client.desk, call)

    tell(tmp_path, story)


IMAGE = {"FunctionName": "f", "Role": ROLE, "PackageType": "Image", "Code": {"ImageUri": "there/is:none"}}


@pytest.mark.parametrize(
    ("params", "why"),
    [
        (IMAGE, "Source image there/is:none does not exist. Provide a valid source image."),
        ({**IMAGE, "Code": {"ZipFile": b"x"}}, "provide ImageUri when creating a function with packageType Image"),
        ({**IMAGE, "Code": {}}, "provide ImageUri when creating a function with packageType Image"),
        ({**IMAGE, "Code": {"ImageUri": "i", "S3Key": "k"}}, "do not provide other FunctionCode parameters"),
        ({**IMAGE, "Runtime": "python3.12"}, "handler or runtime or layer"),
        ({**IMAGE, "Handler": "f.h"}, "handler or runtime or layer"),
        ({**IMAGE, "Layers": ["arn:aws:lambda:us-east-1:000000000000:layer:l:1"]}, "handler or runtime or layer"),
        ({**IMAGE, "CodeSigningConfigArn": "arn:aws:lambda:us-east-1:000000000000:code-signing-config:csc-" + 17 * "0"},
         "Code signing is not supported"),
        ({**MINIMAL, "Code": {"ImageUri": "i"}}, "provide ImageUri when creating a function with packageType Zip"),
        ({**MINIMAL, "ImageConfig": {"Command": ["x"]}}, "provide ImageConfig when the package type is Zip"),
    ],
)  # fmt: skip
def test_what_does_not_go_with_an_image(tmp_path: Path, params: dict[str, Any], why: str) -> None:
    async def story(client: Client) -> None:
        assert why in await refusal(client("CreateFunction", **params), InvalidParameterValue)
        assert (await client("ListFunctions")).json == {"Functions": []}

    tell(tmp_path, story)


def test_other_sources_of_code(tmp_path: Path) -> None:
    async def story(client: Client) -> None:
        image = {"ImageUri": "i"}
        bucket = {"S3Bucket": "bucket", "S3Key": "k"}
        for source, why in (
            (bucket, "Error occurred while GetObject. S3 Error Code: NoSuchBucket. S3 Error Message: None here"),
            ({"S3Bucket": "bucket"}, "Both S3Bucket and S3Key must be provided."),
            (
                {**bucket, "ZipFile": b"x"},
                "Please do not provide other FunctionCode parameters when providing a ZipFile.",
            ),
        ):
            answer = client("CreateFunction", **{**MINIMAL, "Code": source})
            assert await refusal(answer, InvalidParameterValue) == why
        await client.created()
        command = {"ImageConfig": {"Command": ["x"]}}
        answer = client("UpdateFunctionConfiguration", FunctionName="f", **command)
        assert await refusal(answer, InvalidParameterValue) == (
            "Please don't provide ImageConfig when the package type is Zip."
        )
        assert await refusal(client("UpdateFunctionCode", FunctionName="f", **image), InvalidParameterValue) == (
            "Please don't provide ImageUri when updating a function with packageType Zip."
        )
        answer = client("UpdateFunctionCode", FunctionName="f", **bucket)
        assert "NoSuchBucket" in await refusal(answer, InvalidParameterValue)

    tell(tmp_path, story)


def test_what_a_create_cannot_do_without(tmp_path: Path) -> None:
    async def story(client: Client) -> None:
        assert await refusal(client("CreateFunction", **{**MINIMAL, "Code": {}}), InvalidParameterValue) == (
            "Please provide a source for function code."
        )
        for missing in ("Runtime", "Handler"):
            params = {name: value for name, value in MINIMAL.items() if name != missing}
            assert await refusal(client("CreateFunction", **params), InvalidParameterValue) == (
                "Runtime and Handler are mandatory parameters for functions created with deployment packages."
            )
        qualified = {**MINIMAL, "FunctionName": "f:live"}
        assert "qualifier" in await refusal(client("CreateFunction", **qualified), InvalidParameterValue)
        elsewhere = {**MINIMAL, "FunctionName": ARN.replace(REGION, "eu-west-1")}
        assert "not reachable in this region" in await refusal(client("CreateFunction", **elsewhere), ResourceNotFound)
        empty = {**MINIMAL, "Code": {"ZipFile": b""}}
        assert await refusal(client("CreateFunction", **empty), InvalidParameterValue) == (
            "Uploaded file must be a non-empty zip"
        )

    tell(tmp_path, story)


def test_runtimes_unknown_retired_or_missing_here(tmp_path: Path) -> None:
    async def story(client: Client) -> None:
        async def text(runtime: str) -> str:
            return await refusal(client("CreateFunction", **{**MINIMAL, "Runtime": runtime}), InvalidParameterValue)

        unknown = await text("python9")
        assert unknown.startswith(
            "Value python9 at 'runtime' failed to satisfy constraint: Member must satisfy enum value set: ["
        )
        assert unknown.endswith("] or be a valid ARN")
        assert "python3.13" in unknown
        assert "python2.7" not in unknown
        assert await text("python3.7") == (
            "The runtime parameter of python3.7 is no longer supported for creating or updating AWS Lambda functions. "
            "We recommend you use a supported runtime while creating or updating functions."
        )
        missing = await text("nodejs22.x")
        assert "nodejs22.x is not available on this machine. Available: python3.11, python3.12." in missing
        assert "`paddock runtimes` shows how to add it" in missing
        await client.created()
        answer = client("UpdateFunctionConfiguration", FunctionName="f", Runtime="go1.x")
        assert "no longer supported" in await refusal(answer, InvalidParameterValue)

    tell(tmp_path, story)


def test_updates_answer_in_progress(tmp_path: Path) -> None:
    async def story(client: Client) -> None:
        await client.created()
        client.world.fleet.gate = asyncio.Event()
        body = (
            await client("UpdateFunctionCode", FunctionName="f", ZipFile=package("2"), Architectures=["x86_64"])
        ).json
        expected = {
            "FunctionArn": ARN,
            "State": "Active",
            "LastUpdateStatus": "InProgress",
            "LastUpdateStatusReason": "The function is being created.",
            "LastUpdateStatusReasonCode": "Creating",
        }
        assert {key: body[key] for key in expected} == expected
        assert "StateReason" not in body
        again = client("UpdateFunctionConfiguration", FunctionName="f", Timeout=5)
        assert await refusal(again, ResourceConflict) == (
            f"The operation cannot be performed at this time. An update is in progress for resource: {ARN}"
        )
        client.world.fleet.gate.set()
        await client.world.settled()
        body = (
            await client("UpdateFunctionConfiguration", FunctionName=ARN, Environment={"Variables": {"AB": "1"}})
        ).json
        assert body["Environment"] == {"Variables": {"AB": "1"}}
        await client.world.settled()
        dry = await client("UpdateFunctionCode", FunctionName="f", ZipFile=package("3"), DryRun=True)
        assert (dry.status, dry.json["LastUpdateStatus"]) == (200, "Successful")

    tell(tmp_path, story)


def test_pages_of_functions(tmp_path: Path) -> None:
    async def story(client: Client) -> None:
        for name in ("a", "b", "c"):
            await client("CreateFunction", **{**MINIMAL, "FunctionName": name})
        first = (await client("ListFunctions", MaxItems=2)).json
        assert [f["FunctionName"] for f in first["Functions"]] == ["a", "b"]
        second = (await client("ListFunctions", MaxItems=2, Marker=first["NextMarker"], FunctionVersion="ALL")).json
        assert [f["FunctionArn"] for f in second["Functions"]] == [
            f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:c:$LATEST"
        ]
        assert "NextMarker" not in second
        assert "Invalid Marker" in await refusal(client("ListFunctions", Marker="ü!"), InvalidParameterValue)
        assert "MasterRegion" in await refusal(client("ListFunctions", MasterRegion="us-east-1"), NotYet)

    tell(tmp_path, story)


def test_delete_answers_204_and_the_function_is_gone(tmp_path: Path) -> None:
    async def story(client: Client) -> None:
        await client.created()
        deleted = await client("DeleteFunction", FunctionName="f")
        assert (deleted.status, deleted.body) == (204, b"")
        for operation in ("GetFunction", "GetFunctionConfiguration", "DeleteFunction"):
            assert await refusal(client(operation, FunctionName="f"), ResourceNotFound) == f"Function not found: {ARN}"

    tell(tmp_path, story)


def test_tags_over_the_wire(tmp_path: Path) -> None:
    async def story(client: Client) -> None:
        await client.created()
        assert (await client("ListTags", Resource=ARN)).json == {"Tags": {}}
        assert (await client("TagResource", Resource=ARN, Tags={"a": "1", "b": "2"})).status == 204
        assert (await client("UntagResource", Resource=ARN, TagKeys=["a"])).status == 204
        assert (await client("ListTags", Resource=ARN)).json == {"Tags": {"b": "2"}}
        assert await refusal(client("ListTags", Resource=f"{ARN}:1"), InvalidParameterValue) == (
            "Tags on function aliases and versions are not supported. Please specify a function ARN."
        )
        other = f"arn:aws:lambda:{REGION}:{ACCOUNT}:capacity-provider:c"
        assert "capacity-provider" in await refusal(client("TagResource", Resource=other, Tags={"a": "1"}), NotYet)

    tell(tmp_path, story)


def test_account_settings(tmp_path: Path) -> None:
    async def story(client: Client) -> None:
        await client.created()
        assert (await client("GetAccountSettings")).json == {
            "AccountLimit": {
                "TotalCodeSize": 80530636800,
                "CodeSizeUnzipped": 262144000,
                "CodeSizeZipped": 52428800,
                "ConcurrentExecutions": 1000,
                "UnreservedConcurrentExecutions": 1000,
            },
            "AccountUsage": {"TotalCodeSize": len(package()), "FunctionCount": 1},
        }

    tell(tmp_path, story)


def test_invoke_passes_everything_on_and_answers_as_aws_does(tmp_path: Path) -> None:
    async def story(client: Client) -> None:
        await client.created()
        fleet = client.world.fleet
        fleet.result = InvocationResult(payload=b'"ok"', executed_version="$LATEST", log_tail=b"START\nEND\n")
        context = base64.b64encode(b'{"custom": {"a": 1}}').decode()
        payload = '{"ü": 1}'.encode()
        answer = await client(
            "Invoke",
            trace_id="Root=1-2-3;Sampled=1",
            FunctionName="f",
            Qualifier="$LATEST",
            Payload=payload,
            LogType="Tail",
            ClientContext=context,
        )
        assert (answer.status, answer.body) == (200, b'"ok"')
        assert answer.headers == {
            "x-amzn-requestid": "the-request",
            "x-amz-executed-version": "$LATEST",
            "x-amz-log-result": base64.b64encode(b"START\nEND\n").decode(),
            "x-amzn-trace-id": "Root=1-2-3;Sampled=1",
            "x-amzn-remapped-content-length": "0",
            "content-type": "application/json",
        }
        (seen,) = fleet.invocations
        assert seen.version == client.world.catalogue.get(ref()).latest
        assert (seen.request_id, seen.invoked_arn) == ("the-request", f"{ARN}:$LATEST")
        assert (seen.payload, seen.client_context) == (payload, '{"custom": {"a": 1}}')
        assert seen.trace_id.startswith("Root=1-2-3;Sampled=1;Lineage=1:")
        assert seen.tail

    tell(tmp_path, story)


def test_invoke_without_anything(tmp_path: Path) -> None:
    async def story(client: Client) -> None:
        await client.created()
        answer = await client("Invoke", FunctionName="f", Payload=b"")
        assert (answer.status, answer.body) == (200, b"null")
        assert not {"x-amz-log-result", "x-amz-function-error"} & set(answer.headers)
        assert re.fullmatch(r"Root=1-[0-9a-f]{8}-[0-9a-f]{24};Sampled=0", answer.headers["x-amzn-trace-id"])
        (seen,) = client.world.fleet.invocations
        assert (seen.payload, seen.client_context, seen.tail, seen.invoked_arn) == (b"{}", "", False, ARN)
        assert seen.trace_id.startswith(answer.headers["x-amzn-trace-id"] + ";Lineage=1:")

    tell(tmp_path, story)


def test_a_function_error_is_a_result(tmp_path: Path) -> None:
    async def story(client: Client) -> None:
        await client.created()
        failed = msgspec.structs.replace(
            client.world.fleet.result, function_error="Unhandled", payload=b'{"errorMessage": "x"}'
        )
        client.world.fleet.result = failed
        answer = await client("Invoke", FunctionName="f")
        assert (answer.status, answer.headers["x-amz-function-error"]) == (200, "Unhandled")
        assert answer.json == {"errorMessage": "x"}

    tell(tmp_path, story)


def test_a_dry_run_runs_nothing(tmp_path: Path) -> None:
    async def story(client: Client) -> None:
        await client.created()
        answer = await client("Invoke", FunctionName="f", InvocationType="DryRun", Payload=b"{}")
        assert (answer.status, answer.body) == (204, b"")
        assert "x-amz-executed-version" not in answer.headers
        assert client.world.fleet.invocations == []
        missing = client("Invoke", FunctionName="g", InvocationType="DryRun")
        assert await refusal(missing, ResourceNotFound) == f"Function not found: {ARN[:-1]}g:$LATEST"

    tell(tmp_path, story)


def test_what_an_invoke_refuses(tmp_path: Path) -> None:
    async def story(client: Client) -> None:
        await client.created()
        durable = client("Invoke", FunctionName="f", DurableExecutionName="d")
        assert "DurableExecutionName" in await refusal(durable, NotYet)
        both = client("Invoke", FunctionName="f:1", Qualifier="2")
        assert "does not match" in await refusal(both, InvalidParameterValue)
        missing = client("Invoke", FunctionName="f", Qualifier="live")
        assert await refusal(missing, ResourceNotFound) == f"Function not found: {ARN}:live"
        assert client.world.fleet.invocations == []

    tell(tmp_path, story)


@pytest.mark.parametrize(
    "payload", [b"\x99", b'"\x99"', b"{", b"{} x", b"NaN", b"'a'", b"[1,]", b"[" * 100_000, b"\xff\xfe{\x00}\x00", b" "]
)
def test_payloads_that_are_not_json(tmp_path: Path, payload: bytes) -> None:
    async def story(client: Client) -> None:
        await client.created()
        text = await refusal(client("Invoke", FunctionName="f", Payload=payload), InvalidRequestContent)
        assert text.startswith("Could not parse request body into json: Could not parse payload into json: ")
        assert client.world.fleet.invocations == []

    tell(tmp_path, story)


@pytest.mark.parametrize("payload", [b"1", b' {"a" : [1, 2]}\n', b'"x"', b"null", b"123456789012345678901234567890.5"])
def test_payloads_pass_byte_for_byte(tmp_path: Path, payload: bytes) -> None:
    async def story(client: Client) -> None:
        await client.created()
        await client("Invoke", FunctionName="f", Payload=payload)
        assert client.world.fleet.invocations[0].payload == payload

    tell(tmp_path, story)


def test_the_largest_payload_passes_and_one_byte_more_does_not(tmp_path: Path) -> None:
    async def story(client: Client) -> None:
        await client.created()
        largest = b'"' + b"x" * (6291456 - 2) + b'"'
        await client("Invoke", FunctionName="f", Payload=largest)
        assert client.world.fleet.invocations[0].payload is largest
        answer = client("Invoke", FunctionName="f", Payload=largest + b" ")
        assert await refusal(answer, RequestEntityTooLarge) == (
            "6291457 byte payload is too large for the RequestResponse invocation type (limit 6291456 bytes)"
        )

    tell(tmp_path, story)


@pytest.mark.parametrize("context", ["%%%", "bm90IGpzb24=", "WzFd", "MQ==", "gICA"])
def test_client_contexts_that_are_no_objects(tmp_path: Path, context: str) -> None:
    async def story(client: Client) -> None:
        await client.created()
        answer = client("Invoke", FunctionName="f", ClientContext=context)
        assert await refusal(answer, InvalidRequestContent) == (
            "Client context must be a valid Base64-encoded JSON object."
        )

    tell(tmp_path, story)


def test_a_client_context_has_a_limit(tmp_path: Path) -> None:
    async def story(client: Client) -> None:
        await client.created()
        answer = client("Invoke", FunctionName="f", ClientContext="A" * 3584)
        assert "limit 3583 bytes" in await refusal(answer, InvalidParameterValue)

    tell(tmp_path, story)


def test_beyond_the_accounts_concurrency(tmp_path: Path) -> None:
    async def story(client: Client) -> None:
        await client.created()
        assert await refusal(client("Invoke", FunctionName="f"), TooManyRequests) == "Rate Exceeded."

    tell(tmp_path, story, concurrency_max=0)


def test_a_pending_function_cannot_be_invoked(tmp_path: Path) -> None:
    async def story(client: Client) -> None:
        client.world.fleet.gate = asyncio.Event()
        await client("CreateFunction", **MINIMAL)
        assert await refusal(client("Invoke", FunctionName="f"), ResourceConflict) == (
            "The operation cannot be performed at this time. The function is currently in the following state: Pending"
        )

    tell(tmp_path, story)
