"""From method, path and query to an operation; from a bare request to a service."""

from __future__ import annotations

import pytest

from paddock.wire import protocol
from paddock.wire.errors import Malformed, UnknownOperation
from paddock.wire.messages import Headers, Request
from paddock.wire.router import Router, Template
from paddock.wire.service import Switchboard, load_service
from tests.wire.oracle import SERVICES, load, operations


def routed(method: str, path: str, query: str = "") -> tuple[str, dict[str, str]]:
    return protocol.route(load("lambda"), Request(method=method, path=path, query=query))


@pytest.mark.parametrize("operation_name", [name for _, name in operations("lambda")])
def test_every_path_matches_with_and_without_a_last_slash(operation_name: str) -> None:
    http = load("lambda").operation(operation_name).http
    path, _, query = http["requestUri"].partition("?")
    for label in ("FunctionName", "Name"):
        path = path.replace("{" + label + "}", f"a-{label}")
    assert routed(http["method"], path, query)[0] == operation_name
    assert routed(http["method"], path + "/", query) == routed(http["method"], path, query)


@pytest.mark.parametrize(
    ("method", "path", "operation"),
    [
        ("GET", "/2015-03-31/functions/", "ListFunctions"),
        ("POST", "/2015-03-31/functions/", "CreateFunction"),
        ("GET", "/2015-03-31/event-source-mappings/", "ListEventSourceMappings"),
        ("GET", "/2016-08-19/account-settings/", "GetAccountSettings"),
        ("POST", "/2020-04-22/code-signing-configs/", "CreateCodeSigningConfig"),
        ("POST", "/2014-11-13/functions/f/invoke-async/", "InvokeAsync"),
    ],
)
def test_the_spellings_of_older_sdks(method: str, path: str, operation: str) -> None:
    assert routed(method, path)[0] == operation


def test_an_encoded_arn_is_one_segment_and_comes_out_decoded() -> None:
    arn = "arn%3Aaws%3Alambda%3Aus-east-1%3A123456789012%3Afunction%3Af%3A%24LATEST"
    assert routed("POST", f"/2015-03-31/functions/{arn}/invocations") == (
        "Invoke",
        {"FunctionName": "arn:aws:lambda:us-east-1:123456789012:function:f:$LATEST"},
    )
    execution = "arn%3Aaws%3Alambda%3Ar%3A1%3Afunction%3Af%3A1%2Fdurable-execution%2Fn%2Fid"
    assert routed("GET", f"/2025-12-01/durable-executions/{execution}/history") == (
        "GetDurableExecutionHistory",
        {"DurableExecutionArn": "arn:aws:lambda:r:1:function:f:1/durable-execution/n/id"},
    )
    assert routed("GET", "/2017-03-31/tags/arn:aws:lambda:r:1:function:f")[1] == {
        "Resource": "arn:aws:lambda:r:1:function:f"
    }


def test_a_literal_query_tells_operations_apart() -> None:
    path = "/2019-09-30/functions/f/provisioned-concurrency"
    assert routed("GET", path, "List=ALL&MaxItems=1")[0] == "ListProvisionedConcurrencyConfigs"
    assert routed("GET", path, "Qualifier=1")[0] == "GetProvisionedConcurrencyConfig"
    assert routed("GET", path, "List=all")[0] == "GetProvisionedConcurrencyConfig"
    assert routed("GET", "/2018-10-31/layers", "find=LayerVersion&Arn=a")[0] == "GetLayerVersionByArn"
    assert routed("GET", "/2018-10-31/layers", "find=Other")[0] == "ListLayers"
    assert routed("GET", "/2018-10-31/layers/", "find=LayerVersion")[0] == "GetLayerVersionByArn"


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/"),
        ("GET", ""),
        ("PATCH", "/2015-03-31/functions/f"),
        ("GET", "/2015-03-31/functions//code"),
        ("GET", "/2015-03-31/functions/f/g/h/i"),
        ("GET", "/2015-03-31/functions/f//"),
        ("GET", "/" * 100_000),
    ],
)
def test_no_operation(method: str, path: str) -> None:
    with pytest.raises(UnknownOperation) as caught:
        routed(method, path)
    assert caught.value.status == 404


def test_a_path_that_is_not_utf8_is_malformed() -> None:
    with pytest.raises(Malformed):
        routed("GET", "/2015-03-31/functions/%ff%fe")


def test_greedy_labels_take_slashes_and_yield_to_literals() -> None:
    router = Router(
        [
            Template(operation=operation, method="GET", uri=uri)
            for operation, uri in (
                ("GetObject", "/{Bucket}/{Key+}"),
                ("ListObjects", "/{Bucket}"),
                ("GetAcl", "/{Bucket}?acl"),
                ("GetFile", "/files/{Path+}/content"),
                ("GetFileInfo", "/files/{Path+}"),
            )
        ]
    )

    def found(path: str, query: str = "") -> tuple[str, dict[str, str]]:
        match = router.match("GET", path, query)
        assert match is not None
        return match[0].operation, match[1]

    assert found("/b/a/b%2Fc/d") == ("GetObject", {"Bucket": "b", "Key": "a/b/c/d"})
    assert found("/b/folder/") == ("GetObject", {"Bucket": "b", "Key": "folder/"})
    assert found("/b/") == ("ListObjects", {"Bucket": "b"})
    assert found("/b", "acl") == ("GetAcl", {"Bucket": "b"})
    assert found("/files/x/y/content") == ("GetFile", {"Path": "x/y"})
    assert found("/files/content/content") == ("GetFile", {"Path": "content"})
    assert found("/files/content") == ("GetFileInfo", {"Path": "content"})
    assert found("/files/x/y") == ("GetFileInfo", {"Path": "x/y"})


def test_a_label_inside_a_segment_is_refused_when_built() -> None:
    with pytest.raises(ValueError, match="part of a segment"):
        Router([Template(operation="Odd", method="GET", uri="/a/pre-{X}")])


@pytest.mark.parametrize(
    ("service", "headers", "body", "code", "status"),
    [
        ("logs", {}, b"", "UnknownOperationException", 400),
        ("logs", {"X-Amz-Target": "Logs_20140328.Fly"}, b"", "UnknownOperationException", 400),
        ("logs", {"X-Amz-Target": "Other.CreateLogGroup"}, b"", "UnknownOperationException", 400),
        ("sts", {}, b"", "MissingAction", 400),
        ("sts", {}, b"Action=Fly&Version=2011-06-15", "InvalidAction", 400),
        ("sts", {}, b"Action=GetCallerIdentity&Version=1999-01-01", "InvalidAction", 400),
    ],
)
def test_no_operation_outside_rest(service: str, headers: dict[str, str], body: bytes, code: str, status: int) -> None:
    with pytest.raises(UnknownOperation) as caught:
        protocol.route(load(service), Request(method="POST", path="/", headers=Headers(headers.items()), body=body))
    assert (caught.value.code, caught.value.status) == (code, status)


# ---- which service


SWITCHBOARD = Switchboard([load(name) for name in SERVICES])


def identified(method: str = "POST", path: str = "/", query: str = "", body: bytes = b"", **headers: str) -> str | None:
    fields = Headers((name.replace("_", "-"), value) for name, value in headers.items())
    found = SWITCHBOARD.identify(Request(method=method, path=path, query=query, headers=fields, body=body))
    return found.name if found else None


def signed(service: str) -> str:
    return (
        f"AWS4-HMAC-SHA256 Credential=AKID/20260115/us-east-1/{service}/aws4_request, SignedHeaders=host, Signature=0"
    )


def test_the_signature_names_the_service() -> None:
    for name in SERVICES:
        assert identified(authorization=signed(name)) == name
    assert identified(query="X-Amz-Credential=AKID%2F20260115%2Fus-east-1%2Fiam%2Faws4_request") == "iam"


def test_a_signature_for_a_service_that_is_not_here_ends_the_search() -> None:
    path = "/2015-03-31/functions/f/invocations"
    assert identified(path=path, authorization=signed("s3"), host="lambda.us-east-1.amazonaws.com") is None


def test_an_unsigned_request_is_told_by_target_host_path_or_form() -> None:
    assert identified(path="/2015-03-31/functions/f/invocations") == "lambda"
    assert identified(x_amz_target="Logs_20140328.CreateLogGroup") == "logs"
    assert identified(host="sts.eu-west-1.amazonaws.com") == "sts"
    assert identified(host="lambda") is None
    assert identified(body=b"Action=ListRoles&Version=2010-05-08") == "iam"
    assert identified("GET", query="Action=GetCallerIdentity&Version=2011-06-15") == "sts"
    assert identified(body=b"Action=GetCallerIdentity&Version=2010-05-08") is None
    assert identified(body=b"\xff\xfe") is None
    assert identified("GET", path="/2015-03-31/functions/%ff") is None
    assert identified(authorization="AWS4-HMAC-SHA256 nonsense", path="/2015-03-31/functions") == "lambda"


def test_services_that_share_a_signing_name_are_told_apart_by_target() -> None:
    board = Switchboard([load("dynamodb"), load("dynamodbstreams")])
    for name in ("dynamodb", "dynamodbstreams"):
        target = f"{load(name).model.metadata['targetPrefix']}.DescribeSomething"
        headers = Headers([("Authorization", signed("dynamodb")), ("X-Amz-Target", target)])
        found = board.identify(Request(method="POST", path="/", headers=headers))
        assert found is not None
        assert found.name == name


def test_a_protocol_that_is_not_spoken_is_refused_when_loaded() -> None:
    with pytest.raises(ValueError, match="ec2"):
        load_service("ec2")
