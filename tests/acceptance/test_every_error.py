"""Every error that Lambda's service model documents, provoked for real: code, status, words and shape.

A completeness test holds the table (tests/support/lambda_errors.py) against the model, so that an operation that is
new, or an error that a newer model adds, asks to be looked at.
"""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest
from botocore import xform_name
from botocore.exceptions import ClientError
from botocore.model import OperationModel

from paddock.services.lambda_.not_yet import NOT_YET
from paddock.wire.service import load_service
from tests.support.calls import until
from tests.support.lambda_calls import GOOD, NEVER_GOOD
from tests.support.lambda_errors import ARN, CANNOT_HAPPEN, CASES, ELSEWHERE, NEVER, STALE, UNTHROTTLED
from tests.support.server import ROLE, ROOT, RunningServer, default_runtime, zipped
from tests.support.shapes import misfits

MODEL = load_service("lambda")
DONE = [name for name in MODEL.operation_names if name not in NOT_YET]
SOURCE = "def handler(event, context):\n    return event\n"
INVOCATIONS = ("Invoke", "InvokeWithResponseStream")


def documented() -> Iterator[tuple[str, str]]:
    for operation in DONE:
        for shape in MODEL.operation(operation).error_shapes:
            yield operation, shape.name


# -- the table is whole


def test_each_documented_error_of_each_operation_has_a_case_or_a_reason() -> None:
    missing = [
        (operation, error)
        for operation, error in documented()
        if not {(operation, error)} & (CASES.keys() | ELSEWHERE.keys() | CANNOT_HAPPEN.keys())
        and error not in NEVER
        and (error != "TooManyRequestsException" or operation in INVOCATIONS)
    ]
    assert missing == []
    assert UNTHROTTLED


def test_each_operation_that_takes_a_revision_id_refuses_an_old_one() -> None:
    taking = [name for name in DONE if "RevisionId" in MODEL.operation(name).input_shape.members]
    assert [name for name in taking if (name, STALE) not in CASES] == []
    assert len(taking) >= 10


def test_the_table_says_each_thing_once_and_nothing_that_the_model_does_not() -> None:
    known = {(name, shape.name) for name in MODEL.operation_names for shape in MODEL.operation(name).error_shapes}
    tables = (CASES, ELSEWHERE, CANNOT_HAPPEN)
    said = [key for table in tables for key in table]
    assert [key for key in said if key not in known] == []
    assert len(said) == len(set(said))
    # A case stands above a reason that holds for all other operations: only for errors that some operation gives.
    assert [key for table in tables for key in table if key[1] in NEVER] == []
    assert [error for error in NEVER if error not in {shape for _, shape in known}] == []


@pytest.mark.parametrize("where", sorted(set(ELSEWHERE.values())))
def test_what_is_shown_elsewhere_is_there(where: str) -> None:
    path, _, name = where.partition("::")
    assert re.search(rf"^def {name}\(", (ROOT / path).read_text(), re.MULTILINE), where


# -- what the table is about


@dataclass
class Stage:
    """A server with something of everything. known: what <words> in the table stand for."""

    server: RunningServer
    known: dict[str, Any]
    checked: set[str] = field(default_factory=set)

    @cached_property
    def client(self) -> Any:
        """boto3's client, each answer of which is held against the model."""
        client = self.server.client("lambda", parameter_validation=False)
        client.meta.events.register("after-call.lambda.*", self.check)
        return client

    def check(self, http_response: Any, parsed: Mapping[str, Any], model: OperationModel, **_: Any) -> None:
        """Raises AssertionError for an answer that is not as the model says."""
        if http_response.status_code >= 300:
            check_error(http_response, parsed, model)
        else:
            check_answer(http_response, parsed, model)
            self.checked.add(model.name)

    def filled(self, params: Any) -> Any:
        if isinstance(params, Mapping):
            return {name: self.filled(value) for name, value in params.items()}
        if isinstance(params, list):
            return [self.filled(value) for value in params]
        return self.known.get(params, params) if isinstance(params, str) else params

    def pattern(self, text: str) -> str:
        for word in ("<queue>", "<mapping>"):
            text = text.replace(word, re.escape(self.known[word]))
        return text


def check_answer(http_response: Any, parsed: Mapping[str, Any], model: OperationModel) -> None:
    shape = model.output_shape
    # The model has DeleteFunction at 200; AWS was recorded answering 204 (spec 01 section 4.4).
    expected = 204 if model.name == "DeleteFunction" else model.http.get("responseCode", 200)
    assert http_response.status_code == parsed.get("StatusCode", expected) or http_response.status_code == expected
    if shape is None or "payload" in shape.serialization:
        return
    elsewhere = {name for name, one in shape.members.items() if "location" in one.serialization}
    found = {name: value for name, value in parsed.items() if name in elsewhere}
    body = json.loads(http_response.content or b"{}")
    assert misfits(shape, {**found, **body}) == []


def check_error(http_response: Any, parsed: Mapping[str, Any], model: OperationModel) -> None:
    code = http_response.headers["x-amzn-errortype"]
    shape = next((one for one in model.error_shapes if one.name == code), None)
    assert http_response.headers["x-amzn-requestid"]
    if shape is None:
        return
    assert http_response.status_code == shape.metadata["error"]["httpStatusCode"]
    body = json.loads(http_response.content)
    names = {one.serialization.get("name", name) for name, one in shape.members.items()}
    assert body.keys() <= names, body
    assert body.keys() & {"message", "Message"}, body
    assert body.get("Type", "User") == ("User" if http_response.status_code < 500 else "Service"), body
    if "Reason" in shape.members:
        assert body["Reason"] in shape.members["Reason"].enum


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    directory = tmp_path_factory.mktemp("errors")
    with RunningServer(directory) as server:
        made = Stage(server, {"<runtime>": default_runtime(), "<zip>": zipped({"app.py": SOURCE})})
        client = made.client
        for build in (functions, policies, layers, signing, keys, mapping):
            build(made, client, directory)
        yield made


def functions(stage: Stage, client: Any, directory: Path) -> None:
    """Two versions, an alias with weights; one function that is throttled; one with a long policy."""
    for name in ("audited", "throttled", "long"):
        stage.server.create(name, SOURCE)
    client.publish_version(FunctionName="audited")
    client.update_function_configuration(FunctionName="audited", Description="second")
    client.get_waiter("function_updated_v2").wait(
        FunctionName="audited", WaiterConfig={"Delay": 0.05, "MaxAttempts": 400}
    )
    client.publish_version(FunctionName="audited")
    client.create_alias(
        FunctionName="audited",
        Name="live",
        FunctionVersion="1",
        RoutingConfig={"AdditionalVersionWeights": {"2": 0.1}},
    )
    client.put_function_concurrency(FunctionName="throttled", ReservedConcurrentExecutions=0)
    client.create_function_url_config(FunctionName="audited", AuthType="NONE")
    client.put_function_event_invoke_config(FunctionName="audited", MaximumRetryAttempts=1)


def policies(stage: Stage, client: Any, directory: Path) -> None:
    client.add_permission(
        FunctionName="audited", StatementId="first", Action="lambda:InvokeFunction", Principal="s3.amazonaws.com"
    )
    for name in ("audited", "nobody", "whole"):
        stage.known[f"<policy of {name}>"] = policy(f"{ARN}:{name}", "x")
    # As many characters as the model lets pass, and more bytes than the limit.
    stage.known["<long policy of audited>"] = policy(f"{ARN}:audited", "é" * 15_000)
    client.put_resource_policy(ResourceArn=f"{ARN}:long", Policy=policy(f"{ARN}:long", "x" * 20_000))


def policy(arn: str, value: str) -> str:
    statement = {
        "Sid": "whole",
        "Effect": "Allow",
        "Principal": {"Service": "s3.amazonaws.com"},
        "Action": "lambda:InvokeFunction",
        "Resource": arn,
        "Condition": {"StringEquals": {"AWS:SourceAccount": value}},
    }
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]}, ensure_ascii=False)


def layers(stage: Stage, client: Any, directory: Path) -> None:
    """Version 1 with a statement, version 2 with as many as fit."""
    for _ in range(2):
        made = client.publish_layer_version(LayerName="audited", Content={"ZipFile": zipped({"x": "x"})})
    stage.known["<layer>"] = made["LayerVersionArn"]
    statement = {"Action": "lambda:GetLayerVersion", "Principal": "*"}
    client.add_layer_version_permission(LayerName="audited", VersionNumber=1, StatementId="first", **statement)
    for number in range(200):
        sid = f"{number:03}{'s' * 97}"
        try:
            client.add_layer_version_permission(LayerName="audited", VersionNumber=2, StatementId=sid, **statement)
        except ClientError:
            return


def signing(stage: Stage, client: Any, directory: Path) -> None:
    """A profile of this server, a configuration that enforces, and a function that has it."""
    package, signed = directory / "package.zip", directory / "signed.zip"
    package.write_bytes(zipped({"app.py": SOURCE}))
    profile = subprocess.run(
        [
            *(sys.executable, "-m", "paddock", "sign", str(package), "--profile", "release"),
            *("--output", str(signed), "--data-dir", str(stage.server.data_dir)),
        ],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
    ).stdout.split()[-1]
    arn = client.create_code_signing_config(
        AllowedPublishers={"SigningProfileVersionArns": [profile]},
        CodeSigningPolicies={"UntrustedArtifactOnDeployment": "Enforce"},
    )["CodeSigningConfig"]["CodeSigningConfigArn"]
    stage.known |= {"<csc>": arn, "<profile>": profile}
    stage.known["<forged>"] = forged(signed.read_bytes())
    client.create_function(
        FunctionName="signed",
        Runtime=default_runtime(),
        Role=ROLE,
        Handler="app.handler",
        Code={"ZipFile": signed.read_bytes()},
        CodeSigningConfigArn=arn,
    )
    client.get_waiter("function_active_v2").wait(
        FunctionName="signed", WaiterConfig={"Delay": 0.05, "MaxAttempts": 400}
    )


def forged(package: bytes) -> bytes:
    """A signed package with one file more than was signed."""
    buffer = io.BytesIO(package)
    with zipfile.ZipFile(buffer, "a") as archive:
        entry = zipfile.ZipInfo("more.py")
        entry.external_attr = 0o644 << 16
        archive.writestr(entry, "MORE = 1\n")
    return buffer.getvalue()


def keys(stage: Stage, client: Any, directory: Path) -> None:
    """Functions whose key was disabled, or is to be deleted, after they were made."""
    kms = stage.server.client("kms")
    for name in ("disabled", "pending"):
        arn = kms.create_key()["KeyMetadata"]["Arn"]
        stage.server.create(name, SOURCE, KMSKeyArn=arn, Environment={"Variables": {"KEY": "value"}})
        if name == "disabled":
            kms.disable_key(KeyId=arn)
        else:
            kms.schedule_key_deletion(KeyId=arn, PendingWindowInDays=7)


def mapping(stage: Stage, client: Any, directory: Path) -> None:
    sqs = stage.server.client("sqs")
    url = sqs.create_queue(QueueName="audited")["QueueUrl"]
    queue = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    uuid = client.create_event_source_mapping(FunctionName="audited", EventSourceArn=queue)["UUID"]
    settled(client, uuid)
    stage.known |= {"<queue>": queue, "<mapping>": uuid}


def settled(client: Any, uuid: str) -> None:
    until(lambda: client.get_event_source_mapping(UUID=uuid)["State"] == "Enabled")


@pytest.mark.parametrize(("operation", "error"), CASES, ids=lambda word: word.removesuffix("Exception"))
def test_the_error_is_as_documented(stage: Stage, operation: str, error: str) -> None:
    case = CASES[operation, error]
    call: Callable[..., Any] = getattr(stage.client, xform_name(operation))
    with pytest.raises(ClientError) as caught:
        call(**stage.filled(case.params))
    told = caught.value.response["Error"]
    assert told["Code"] == error, told
    assert re.search(stage.pattern(case.text), told["Message"]), told


def test_every_operation_answers_in_the_models_shape(stage: Stage) -> None:
    """Required members are there, unknown ones are not, enums and types fit; Stage.check looks at each answer."""
    client = stage.client
    stage.checked.clear()
    for good in GOOD:
        if good.operation in ("UpdateEventSourceMapping", "DeleteEventSourceMapping"):
            settled(client, stage.known["<new mapping>"])
        answer = getattr(client, xform_name(good.operation))(**stage.filled(good.params))
        list(answer.get("EventStream", ()))  # read to its end, which frees the connection
        for word, member in good.keep.items():
            value = answer
            for part in member.split("."):
                value = value[part]
            stage.known[word] = value
        if good.settles:
            name = good.params["FunctionName"]
            for waiter in ("function_active_v2", "function_updated_v2"):
                client.get_waiter(waiter).wait(FunctionName=name, WaiterConfig={"Delay": 0.05, "MaxAttempts": 400})
    assert stage.checked >= set(DONE) - NEVER_GOOD
