"""Errors as botocore reads them, and their envelopes as AWS writes them."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from paddock.wire import protocol
from paddock.wire.messages import Response
from tests.wire.oracle import SERVICES, load, read_by_botocore

MODELLED = [(name, shape.name) for name in SERVICES for shape in load(name).model.error_shapes]


def rendered(service: str, code: str, **overrides: Any) -> Response:
    given: dict[str, Any] = {"message": "It <failed> & so", "status": 400, "fault": "client", "members": {}}
    return protocol.serialize_error(load(service), None, code=code, request_id="rid", **{**given, **overrides})


@pytest.mark.parametrize(("service_name", "shape_name"), MODELLED)
def test_every_modelled_error_is_read_by_botocore(service_name: str, shape_name: str) -> None:
    service = load(service_name)
    shape = service.model.shape_for(shape_name)
    details = shape.metadata.get("error", {})

    response = rendered(service_name, shape_name)

    read = read_by_botocore(service, response, None)
    assert read["Error"]["Code"] == (shape_name if service.protocol == "json" else details.get("code", shape_name))
    assert read["Error"]["Message"] == "It <failed> & so"
    assert read["ResponseMetadata"]["RequestId"] == "rid"
    assert response.status == details.get("httpStatusCode", 400)
    if service.protocol != "query" and "message" in {name.lower() for name in shape.members}:
        # AWS's query services write <Message> whatever the shape says; botocore then leaves the member out.
        modelled = read_by_botocore(service, response, shape)
        assert next(value for name, value in modelled.items() if name.lower() == "message") == "It <failed> & so"


def test_lambdas_errors_number_58() -> None:
    assert len([name for name, _ in MODELLED if name == "lambda"]) == 58


def test_the_envelope_of_rest_json_spells_the_message_as_the_shape_does() -> None:
    body = rendered("lambda", "ResourceNotFoundException", status=500).body
    assert body == b'{"Type":"User","Message":"It <failed> & so"}'
    response = rendered("lambda", "InvalidParameterValueException")
    assert response.body == b'{"Type":"User","message":"It <failed> & so"}'
    assert ("x-amzn-ErrorType", "InvalidParameterValueException") in response.headers
    response = rendered("lambda", "ServiceException", fault="server")
    assert response.body == b'{"Type":"Service","Message":"It <failed> & so"}'


def test_a_throttle_has_its_reason_in_the_body_and_its_delay_in_a_header() -> None:
    members = {"Reason": "CallerRateLimitExceeded", "retryAfterSeconds": "3", "Novelty": "left out"}
    response = rendered("lambda", "TooManyRequestsException", members=members)
    assert response.status == 429
    assert ("retry-after", "3") in response.headers
    assert msgspec.json.decode(response.body) == {  # type: ignore[arg-type]
        "Type": "User",
        "message": "It <failed> & so",
        "Reason": "CallerRateLimitExceeded",
    }


def test_an_error_that_lambdas_model_does_not_know_has_only_a_message() -> None:
    response = rendered("lambda", "ValidationException", members={"Reason": "x"})
    assert response.status == 400
    assert response.body == b'{"message":"It <failed> & so"}'
    assert ("x-amzn-ErrorType", "ValidationException") in response.headers


def test_the_json_protocol_puts_the_type_into_the_body() -> None:
    response = rendered("logs", "ResourceAlreadyExistsException")
    assert response.body == b'{"__type":"ResourceAlreadyExistsException","message":"It <failed> & so"}'
    assert ("Content-Type", "application/x-amz-json-1.1") in response.headers


def test_the_query_protocol_answers_xml_with_the_wire_code() -> None:
    response = rendered("iam", "NoSuchEntityException", status=500, fault="server")
    assert response.status == 404
    assert response.body == (
        b'<ErrorResponse xmlns="https://iam.amazonaws.com/doc/2010-05-08/"><Error><Type>Sender</Type>'
        b"<Code>NoSuchEntity</Code><Message>It &lt;failed&gt; &amp; so</Message></Error>"
        b"<RequestId>rid</RequestId></ErrorResponse>"
    )
    assert rendered("iam", "NoSuchEntity").body == response.body
    response = rendered("sts", "InternalFailure", fault="server")
    assert isinstance(response.body, bytes)
    assert b"<Type>Receiver</Type>" in response.body
