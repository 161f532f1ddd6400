"""What we answer, botocore reads back equal; and what the model does not know we refuse to send."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from paddock.model.function import State
from paddock.wire import protocol
from paddock.wire.errors import OutputDefect
from tests.wire.oracle import check_response, has_event_stream, load, operations, read_by_botocore

# Event streams are written by an encoder of their own; here their bytes only pass through (see the last test).
WITHOUT_EVENT_STREAM = [
    (service, name)
    for service, name in operations()
    if not has_event_stream(load(service).operation(name).output_shape)
]


@pytest.mark.parametrize(("service_name", "operation_name"), WITHOUT_EVENT_STREAM)
def test_a_response_of_ours_parses_back_equal(service_name: str, operation_name: str) -> None:
    check_response(service_name, operation_name)


def test_only_three_operations_answer_with_event_streams() -> None:
    streams = sorted(set(operations()) - set(WITHOUT_EVENT_STREAM))
    assert streams == [("lambda", "InvokeWithResponseStream"), ("logs", "GetLogObject"), ("logs", "StartLiveTail")]


def test_the_status_comes_from_the_model_or_from_the_status_member() -> None:
    service = load("lambda")
    assert protocol.serialize(service, "CreateFunction", {}, "r").status == 201
    assert protocol.serialize(service, "DeleteFunction", {"StatusCode": 204}, "r").status == 204
    assert protocol.serialize(service, "Invoke", {"StatusCode": 202}, "r").status == 202


def test_the_payload_of_an_invoke_is_sent_as_it_is() -> None:
    payload = b"x" * 1000
    response = protocol.serialize(load("lambda"), "Invoke", {"StatusCode": 200, "Payload": payload}, "r")
    assert response.body is payload


def test_headers_of_the_caller_stand_beside_ours_and_may_name_the_content_type() -> None:
    headers = (("Content-Type", "text/plain"), ("X-Extra", "1"))
    response = protocol.serialize(load("lambda"), "Invoke", {"Payload": b""}, "r", headers)
    assert response.headers == (("x-amzn-RequestId", "r"), *headers)


def test_a_header_member_can_not_start_another_header() -> None:
    response = protocol.serialize(load("lambda"), "Invoke", {"FunctionError": "Unhandled\r\nX-Evil: 1"}, "r")
    assert ("x-amz-function-error", "Unhandled  X-Evil: 1") in response.headers


def test_members_of_string_enums_are_written_by_value() -> None:
    response = protocol.serialize(load("lambda"), "CreateFunction", {"State": State.PENDING}, "r")
    assert response.body == b'{"State":"Pending"}'
    response = protocol.serialize(load("iam"), "GetUser", {"User": {"Path": State.PENDING}}, "r")
    assert b"<Path>Pending</Path>" in bytes(response.body)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("service", "operation", "output"),
    [
        ("lambda", "GetFunction", {"Novelty": 1}),
        ("lambda", "GetFunction", {"Configuration": {"Novelty": 1}}),
        ("lambda", "DeleteAlias", {"Anything": 1}),
        ("lambda", "CreateFunction", {"Timeout": "3"}),
        ("lambda", "CreateFunction", {"Timeout": True}),
        ("lambda", "CreateFunction", {"Description": 3}),
        ("lambda", "CreateFunction", {"Layers": {}}),
        ("lambda", "CreateFunction", {"Environment": []}),
        ("lambda", "Invoke", {"Payload": 3}),
        ("lambda", "GetEventSourceMapping", {"LastModified": "2026"}),
        ("logs", "DescribeLogGroups", {"logGroups": [{"novelty": 1}]}),
        ("iam", "GetUser", {"User": {"Novelty": 1}}),
        ("iam", "GetUser", {"User": {"CreateDate": 1}}),
        ("iam", "ListUsers", {"IsTruncated": "false"}),
        ("iam", "ListUsers", {"Users": {}}),
    ],
)
def test_what_the_shape_does_not_know_is_our_defect(service: str, operation: str, output: dict[str, Any]) -> None:
    with pytest.raises(OutputDefect):
        protocol.serialize(load(service), operation, output, "r")


def test_an_event_stream_passes_through() -> None:
    async def events() -> AsyncIterator[bytes]:
        yield b""

    stream = events()
    response = protocol.serialize(load("lambda"), "InvokeWithResponseStream", {"EventStream": stream}, "r")
    assert response.body is stream


def test_text_that_xml_can_not_say_is_replaced_and_the_rest_survives() -> None:
    response = protocol.serialize(load("iam"), "GetUser", {"User": {"Path": "a\0b\ud800c]]>\r\n"}}, "r")
    assert read_by_botocore(load("iam"), response, load("iam").operation("GetUser").output_shape)["User"] == {
        "Path": "a\ufffdb\ufffdc]]>\r\n"
    }
