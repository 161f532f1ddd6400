"""What is sent when an asynchronous invocation is over: a destination's record, a dead letter (spec 03 section 3)."""

from __future__ import annotations

from datetime import datetime

import msgspec

from paddock.invoke.outbox import RetryPolicy
from paddock.invoke.targets import service_of
from paddock.model.delivery import TargetEvent
from paddock.model.event_mode import Attempt, Condition, Finished
from paddock.model.lineage import Lineage, with_lineage

PRINCIPAL = "lambda.amazonaws.com"
ERROR_MESSAGE_BYTES_MAX = 1_024
POLICY = RetryPolicy(attempts_max=12, age_s_max=21_600.0)
ZERO_RESERVED = "Function not invoked. Function isconfigured with zero reserved concurrent executions"
"""The missing blank is AWS's."""


def record(finished: Finished, function_arn: str, at: datetime) -> bytes:
    """The record of a finished event. function_arn: always qualified."""
    event, last = finished.event, finished.event.last
    document: dict[str, object] = {
        "version": "1.0",
        "timestamp": f"{at:%Y-%m-%dT%H:%M:%S}.{at.microsecond // 1000:03d}Z",
        "requestContext": {
            "requestId": event.request_id,
            "functionArn": function_arn,
            "condition": finished.condition.value,
            "approximateInvokeCount": event.attempts,
        },
        "requestPayload": msgspec.Raw(event.payload or b"{}"),
    }
    if last is not None:
        document["responseContext"] = _context(finished.condition, last)
        if last.payload:
            document["responsePayload"] = msgspec.Raw(last.payload)
    return msgspec.json.encode(document)


def _context(condition: Condition, last: Attempt) -> dict[str, object]:
    context: dict[str, object] = {"statusCode": last.status}
    if last.executed_version:
        context["executedVersion"] = last.executed_version
    if condition is Condition.RECURSION:
        context["functionError"] = "RecursiveInvocationException"
    elif last.function_error:
        context["functionError"] = last.function_error
    return context


def to_destination(
    finished: Finished, destination_arn: str, function_arn: str, at: datetime, role_arn: str
) -> TargetEvent:
    """The event that carries the record to a queue, topic, function, bus or bucket."""
    body = record(finished, function_arn, at)
    if service_of(destination_arn) == "events":
        body = _bus_entry(finished, body, destination_arn, function_arn)
    # The destination is told of the execution that it follows from, so that loops of destinations are seen.
    unqualified = ":".join(function_arn.split(":")[:7])
    lineage = Lineage.of(finished.event.trace_id).with_execution(unqualified)
    attributes = {"AWSTraceHeader": with_lineage(finished.event.trace_id, lineage)}
    if service_of(destination_arn) == "s3":
        attributes["ObjectKey"] = _object_key(finished, function_arn, at)
    return TargetEvent(
        target_arn=destination_arn,
        body=body,
        principal=PRINCIPAL,
        source_arn=function_arn,
        source_account=function_arn.split(":")[4],
        role_arn=role_arn,
        attributes=attributes,
    )


def _object_key(finished: Finished, function_arn: str, at: datetime) -> str:
    """AWS's layout. The event's own id makes a record that is delivered twice the same object."""
    name = function_arn.split(":")[6]
    return f"aws/lambda/async/{name}/{at:%Y/%m/%d}/{at:%Y-%m-%dT%H.%M.%S}-{finished.event.request_id}"


def _bus_entry(finished: Finished, body: bytes, bus_arn: str, function_arn: str) -> bytes:
    outcome = "Success" if finished.condition is Condition.SUCCESS else "Failure"
    return msgspec.json.encode(
        {
            "Source": "lambda",
            "DetailType": f"Lambda Function Invocation Result - {outcome}",
            "Resources": [bus_arn, function_arn],
            "Detail": body.decode(),
        }
    )


def to_dead_letters(finished: Finished, queue_arn: str, function_arn: str, role_arn: str) -> TargetEvent:
    """The event itself, with what went wrong beside it."""
    event = finished.event
    return TargetEvent(
        target_arn=queue_arn,
        body=event.payload,
        principal=PRINCIPAL,
        source_arn=function_arn,
        source_account=function_arn.split(":")[4],
        role_arn=role_arn,
        attributes={"RequestID": event.request_id, **_error(finished)},
    )


def _error(finished: Finished) -> dict[str, str]:
    last = finished.event.last
    if finished.condition is Condition.ZERO_RESERVED or last is None:
        return {"ErrorMessage": ZERO_RESERVED if finished.condition is Condition.ZERO_RESERVED else ""}
    message = last.message or _message_in(last.payload)
    cut = message.encode()[:ERROR_MESSAGE_BYTES_MAX].decode(errors="ignore")
    return {"ErrorCode": str(last.status), "ErrorMessage": cut}


def _message_in(payload: bytes) -> str:
    """errorMessage of a function's error document."""
    try:
        document = msgspec.json.decode(payload)
    except msgspec.DecodeError:
        return ""
    found = document.get("errorMessage") if isinstance(document, dict) else None
    return found if isinstance(found, str) else ""
