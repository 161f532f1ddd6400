"""Bad input is a WireError, never anything else."""

from __future__ import annotations

import contextlib
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paddock.wire import protocol
from paddock.wire.constraints import message, violations
from paddock.wire.errors import Malformed, WireError
from paddock.wire.messages import Headers, Request
from paddock.wire.service import Switchboard
from tests.wire.oracle import SERVICES, load, operations

NOT_BASE64 = "Unable to decode the blob: it is not valid base64"
QUICK = settings(max_examples=300, deadline=None, derandomize=True, database=None)
BOARD = Switchboard([load(name) for name in SERVICES])


def parse(service: str, operation: str, **parts: Any) -> dict[str, Any]:
    labels = parts.pop("labels", {})
    headers = Headers(parts.pop("headers", {}).items())
    return protocol.parse(load(service), operation, Request(method="POST", path="/", headers=headers, **parts), labels)


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"{", "Could not parse request body into json"),
        (b"\xff", "Could not parse request body into json"),
        (b'{"Timeout":1} x', "Could not parse request body into json"),
        (b'{"Timeout":' * 100_000, "Could not parse request body into json"),
        (b"[]", "Unexpected field type"),
        (b'"x"', "Unexpected field type"),
        (b'{"Timeout":"3"}', "STRING_VALUE can not be converted to an Integer"),
        (b'{"Timeout":true}', "TRUE_VALUE can not be converted to an Integer"),
        (b'{"Timeout":1.5}', "NUMBER_VALUE can not be converted to an Integer"),
        (b'{"Timeout":3000000000}', "Numeric value out of range of integer"),
        (b'{"Timeout":1e400}', None),
        (b'{"Timeout":[1]}', "Start of list found where not expected"),
        (b'{"Timeout":{}}', "Start of structure or map found where not expected."),
        (b'{"Publish":"true"}', "STRING_VALUE can not be converted to a Boolean"),
        (b'{"Role":5}', "NUMBER_VALUE can not be converted to a String"),
        (b'{"Role":false}', "FALSE_VALUE can not be converted to a String"),
        (b'{"Layers":"x"}', "Expected list or null"),
        (b'{"Layers":{}}', "Expected list or null"),
        (b'{"Tags":[]}', "Expected map or null"),
        (b'{"Code":[]}', "Start of list found where not expected"),
        (b'{"Code":"x"}', "Unexpected field type"),
        (b'{"Code":{"ZipFile":"a"}}', NOT_BASE64),
        (
            b'{"Code":{"ZipFile":"\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9"}}',
            NOT_BASE64,
        ),
        (b'{"Code":{"ZipFile":7}}', "NUMBER_VALUE can not be converted to a Blob"),
    ],
)
def test_wrong_json_is_refused_in_words(body: bytes, text: str | None) -> None:
    with pytest.raises(Malformed) as caught:
        parse("lambda", "CreateFunction", body=body)
    assert caught.value.code == "SerializationException"
    assert caught.value.status == 400
    assert text is None or caught.value.message == text


def test_whole_floats_are_integers_and_nulls_are_absent() -> None:
    assert parse("lambda", "CreateFunction", body=b'{"Timeout":3.0,"Role":null}') == {"Timeout": 3}


@pytest.mark.parametrize("depth", [51, 300, 900, 100_000])
def test_a_recursive_shape_has_a_limit(depth: int) -> None:
    value = b'{"L":[' * depth + b'{"S":"x"}' + b"]}" * depth
    with pytest.raises(Malformed):
        parse("dynamodb", "PutItem", body=b'{"TableName":"t","Item":{"k":' + value + b"}}")


def test_what_is_nested_within_the_limit_parses_and_is_checked() -> None:
    value = b'{"L":[' * 45 + b'{"S":"x"}' + b"]}" * 45
    params = parse("dynamodb", "PutItem", body=b'{"TableName":"t","Item":{"k":' + value + b"}}")
    assert violations(load("dynamodb").operation("PutItem"), params) == []


@pytest.mark.parametrize("stamp", [b'"soon"', b"1e300", b"true", b"[]", b"-1e15", b'""'])
def test_wrong_timestamps(stamp: bytes) -> None:
    with pytest.raises(Malformed):
        parse("lambda", "CreateEventSourceMapping", body=b'{"StartingPositionTimestamp":' + stamp + b"}")


@pytest.mark.parametrize("query", ["MaxItems=x", "MaxItems=", "MaxItems=1_0", "MaxItems=99999999999", "Marker=%ff"])
def test_wrong_query_strings(query: str) -> None:
    with pytest.raises(Malformed):
        parse("lambda", "ListFunctions", query=query)


@pytest.mark.parametrize(
    "form",
    [
        b"DurationSeconds=soon",
        b"DurationSeconds=99999999999",
        b"DurationSeconds.x=1",
        b"Tags.member.one.Key=k",
        "Tags.member.\u0661.Key=k".encode(),
        b"Tags.member.99999999999999999999.Key=k",
        b"RoleArn=%ff",
        b"\xff=1",
        b"." * 100,
        b"&".join(b"a%d=1" % number for number in range(20_000)),
    ],
)
def test_wrong_forms(form: bytes) -> None:
    with pytest.raises(Malformed) as caught:
        parse("sts", "AssumeRole", body=form)
    assert (caught.value.code, caught.value.status) == ("MalformedInput", 400)


def test_a_form_without_known_members_is_empty() -> None:
    assert parse("sts", "AssumeRole", body=b"&&=&a=&RoleArn=x") == {"RoleArn": "x"}


TARGETS = st.sampled_from([f"Logs_20140328.{name}" for _, name in operations("logs")]) | st.text(max_size=20)
ACTIONS = st.sampled_from([name for service, name in operations("sts", "iam")])
PATHS = st.sampled_from(
    [load("lambda").operation(name).http["requestUri"].partition("?")[0] for _, name in operations("lambda")]
)
METHODS = st.sampled_from(["GET", "POST", "PUT", "DELETE", "HEAD"])
LABELS = st.text(max_size=12) | st.sampled_from(["%", "%zz", "%ff", "%2F", "..", "a%20b"])


@QUICK
@given(
    METHODS,
    st.text(max_size=40) | st.builds(lambda path, label: path.replace("{FunctionName}", label), PATHS, LABELS),
    st.text(max_size=40) | st.sampled_from(["MaxItems=%31", "a=b&&=", "%ff=%fe", "tagKeys=a&tagKeys=b"]),
    st.dictionaries(
        st.sampled_from(["X-Amz-Target", "Authorization", "Host", "Content-Type", "X-Amz-Client-Context"]),
        TARGETS | st.text(max_size=60),
    ),
    st.binary(max_size=200) | st.builds(lambda action, rest: f"Action={action}&{rest}".encode(), ACTIONS, st.text()),
)
def test_random_requests_raise_nothing_but_wire_errors(
    method: str, path: str, query: str, headers: dict[str, str], body: bytes
) -> None:
    request = Request(method=method, path=path, query=query, headers=Headers(headers.items()), body=body)
    BOARD.identify(request)
    for name in SERVICES:
        with contextlib.suppress(WireError):
            operation, labels = protocol.route(load(name), request)
            protocol.parse(load(name), operation, request, labels)


def shaped(shape: Any, depth: int = 0) -> st.SearchStrategy[Any]:
    """Documents that look like the shape but are wrong here and there."""
    scalar = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
    wrong: st.SearchStrategy[Any] = scalar | st.just([]) | st.just({})
    if depth > 3:
        return wrong
    match shape.type_name:
        case "structure":
            members = {
                member.serialization.get("name", name): shaped(member, depth + 1)
                for name, member in shape.members.items()
            }
            return st.fixed_dictionaries({}, optional=members) | wrong
        case "list":
            return st.lists(shaped(shape.member, depth + 1), max_size=2) | wrong
        case "map":
            return st.dictionaries(st.text(max_size=3), shaped(shape.value, depth + 1), max_size=2) | wrong
        case "string":
            enum = shape.metadata.get("enum")
            return st.text(max_size=8) | (st.sampled_from(enum) if enum else st.just("x")) | wrong
    return wrong


@settings(QUICK, max_examples=150)
@given(st.data())
def test_documents_that_are_nearly_right(data: st.DataObject) -> None:
    service, operation = data.draw(st.sampled_from(operations("lambda", "logs")))
    shape = load(service).operation(operation).input_shape
    document = data.draw(shaped(shape)) if shape is not None else {}
    body = msgspec.json.encode(document)
    try:
        params = parse(service, operation, body=body)
    except Malformed:
        return
    found = violations(load(service).operation(operation), params)
    assert message(found).startswith(f"{len(found)} validation error")
