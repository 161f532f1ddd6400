"""What botocore sends for an operation, we route to that operation and parse to the same parameters."""

from __future__ import annotations

import pytest

from paddock.wire import protocol
from tests.wire.oracle import check_request, load, operations, request_of


@pytest.mark.parametrize(("service_name", "operation_name"), operations())
def test_a_request_of_botocore_parses_back_equal(service_name: str, operation_name: str) -> None:
    check_request(service_name, operation_name)


def test_lambda_has_all_its_operations() -> None:
    assert len(load("lambda").operation_names) == 91


def test_the_payload_of_an_invoke_is_the_body_itself() -> None:
    service = load("lambda")
    request = request_of(service.operation("Invoke"), {"FunctionName": "f", "Payload": b'{"k": 1}'})
    name, labels = protocol.route(service, request)
    assert protocol.parse(service, name, request, labels)["Payload"] is request.body


def test_unknown_members_are_dropped() -> None:
    service = load("logs")
    request = request_of(service.operation("CreateLogGroup"), {"logGroupName": "g"})
    with_more = type(request)(
        method=request.method,
        path=request.path,
        headers=request.headers,
        body=b'{"logGroupName":"g","novelty":[1],"kmsKeyId":null}',
    )
    assert protocol.parse(service, "CreateLogGroup", with_more, {}) == {"logGroupName": "g"}


def test_query_lists_with_gaps_close_up_and_a_get_carries_its_form_in_the_query() -> None:
    service = load("sts")
    form = "Action=AssumeRole&Version=2011-06-15&RoleArn=a&RoleSessionName=b+c&Tags.member.7.Key=x&Tags.member.2.Key=y"
    request = request_of(service.operation("GetCallerIdentity"), {})
    got = type(request)(method="GET", path="/", query=form)
    assert protocol.route(service, got) == ("AssumeRole", {})
    assert protocol.parse(service, "AssumeRole", got, {}) == {
        "RoleArn": "a",
        "RoleSessionName": "b c",
        "Tags": [{"Key": "y"}, {"Key": "x"}],
    }
