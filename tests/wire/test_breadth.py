"""Services that Paddock does not serve, for the corners of the protocols that those it serves never turn.

jsonvalue headers (lex-runtime, iot-data), lists in headers (entityresolution, polly), maps in the query (apigateway),
flattened lists (sdb), timestampFormat in JSON (freetier, apigatewayv2), labels before literals (workspaces-web), and
what may be served one day.
"""

from __future__ import annotations

import pytest

from tests.wire.oracle import check_request, check_response, has_event_stream, load

SERVICES = (
    "apigateway",
    "apigatewayv2",
    "dynamodb",
    "entityresolution",
    "events",
    "freetier",
    "iot-data",
    "kinesis",
    "lex-runtime",
    "polly",
    "scheduler",
    "sdb",
    "secretsmanager",
    "sns",
    "sqs",
    "stepfunctions",
    "workspaces-web",
)


@pytest.mark.parametrize("service_name", SERVICES)
def test_both_directions(service_name: str) -> None:
    service = load(service_name)
    for name in service.operation_names:
        operation = service.operation(name)
        if not has_event_stream(operation.input_shape):
            check_request(service_name, name)
        if not has_event_stream(operation.output_shape):
            check_response(service_name, name)
