"""A head that was understood before means the same again, and only what differs in meaning is told apart."""

from __future__ import annotations

import asyncio

import pytest

from paddock.front import recognition
from paddock.front.recognition import Heads, body_tells_nothing
from paddock.wire.http1_request import IncomingRequest
from paddock.wire.messages import Headers
from paddock.wire.service import load_service

LAMBDA = load_service("lambda")
INVOKE = "/2015-03-31/functions/f/invocations"
SIGNED = "AWS4-HMAC-SHA256 Credential=AKIA/20260504/us-east-1/lambda/aws4_request, SignedHeaders=host, Signature="


def incoming(path: str = INVOKE, query: str = "", **headers: str) -> IncomingRequest:
    fields = {"host": "127.0.0.1", "authorization": SIGNED + "1", "x-amz-date": "1", **headers}
    named = [(name.replace("_", "-"), value) for name, value in fields.items()]
    return IncomingRequest(method="POST", path=path, query=query, headers=Headers(named))


def test_signature_date_and_length_do_not_matter() -> None:
    heads = Heads([LAMBDA])
    other = incoming(authorization=SIGNED + "2", x_amz_date="2", content_length="7", user_agent="x")
    assert heads.key(incoming(), "") == heads.key(other, "") is not None


@pytest.mark.parametrize(
    "other",
    [
        incoming(path=INVOKE.replace("/f/", "/g/")),
        incoming(query="Qualifier=1"),
        incoming(host="localhost"),
        incoming(origin="http://localhost"),
        incoming(sec_fetch_site="cross-site"),
        incoming(x_amz_target="T.Op"),
        incoming(x_amz_security_token="Paddock.x"),
        incoming(x_amz_invocation_type="Event"),
        incoming(x_amz_log_type="Tail"),
        incoming(x_amz_client_context="e30="),
        incoming(authorization=SIGNED.replace("AKIA", "111122223333")),
        incoming(authorization=SIGNED.replace("us-east-1", "eu-west-1")),
        incoming(authorization=SIGNED.replace("/lambda/", "/logs/")),
    ],
    ids=lambda other: f"{other.path} {other.query} {list(other.headers)}"[:120],
)
def test_what_matters_is_told_apart(other: IncomingRequest) -> None:
    heads = Heads([LAMBDA])
    assert heads.key(other, "") != heads.key(incoming(), "")
    assert heads.key(incoming(), "111122223333") != heads.key(incoming(), "")


@pytest.mark.parametrize(
    "authorization", ["", "Bearer x", "AWS4-HMAC-SHA256 SignedHeaders=host, Credential=AKIA/1/r/lambda/aws4_request"]
)
def test_what_is_not_signed_in_the_usual_way_is_never_known(authorization: str) -> None:
    assert Heads([LAMBDA]).key(incoming(authorization=authorization), "") is None


def test_two_authorizations_are_never_known() -> None:
    request = incoming()
    request.headers = Headers([*request.headers, ("authorization", SIGNED)])
    assert Heads([LAMBDA]).key(request, "") is None


def test_every_header_that_an_operation_reads_is_looked_at() -> None:
    heads = Heads([LAMBDA])
    for plan in LAMBDA.plans.values():
        for place in plan.input.header:
            assert heads.key(incoming(**{place.name: "x"}), "") != heads.key(incoming(), ""), place.name


def test_operations_with_documents_or_streams_go_the_long_way() -> None:
    known = {name for name, plan in LAMBDA.plans.items() if body_tells_nothing(LAMBDA, plan)}
    assert {"Invoke", "GetFunction", "ListFunctions", "DeleteFunction"} <= known
    assert not {"CreateFunction", "UpdateFunctionCode", "UpdateFunctionConfiguration", "TagResource"} & known
    for name in ("logs", "iam", "s3"):
        model = load_service(name)
        assert not [each for each, plan in model.plans.items() if body_tells_nothing(model, plan)]


def test_they_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recognition, "HEADS_MAX", 2)
    heads = Heads([LAMBDA])
    for number in range(3):
        heads.keep((str(number),), None)  # type: ignore[arg-type]
    heads.keep(("x" * (recognition.HEAD_CHARS_MAX + 1),), None)  # type: ignore[arg-type]
    assert list(heads._known) == [("2",)]


def test_the_second_request_is_answered_as_the_first(house) -> None:
    async def main() -> None:
        async with house() as h:
            for body in (b'{"a": 1}', b"2", b'{"a": 1}', b""):
                answer = await h.ask("lambda", "invoke", FunctionName="f", Payload=body)
                assert answer["Payload"].read() == body
                assert h.desk.calls[-1].params.get("Payload", b"") == body
                assert h.desk.calls[-1].params["FunctionName"] == "f"
            assert len({call.request_id for call in h.desk.calls}) == 4
            assert (await h.ask("lambda", "invoke", FunctionName="g", Payload=b"3"))["Payload"].read() == b"3"
            assert h.desk.calls[-1].params["FunctionName"] == "g"
            await h.ask("lambda", "invoke", key="111122223333", FunctionName="f", Payload=b"4")
            assert h.desk.calls[-1].caller.account == "111122223333"

    asyncio.run(main())


def test_a_known_head_with_too_large_a_body_is_refused_by_name(house) -> None:
    async def main() -> None:
        async with house(body_bytes_max=50) as h:
            for _ in range(2):
                await h.ask("lambda", "invoke", FunctionName="f", Payload=b"1")
                with pytest.raises(Exception, match="smaller than 50 bytes for the Invoke operation"):
                    await h.ask("lambda", "invoke", FunctionName="f", Payload=b'"' + b"x" * 100 + b'"')

    asyncio.run(main())
