"""Front.handle through boto3 and raw sockets, with fake operations on botocore's models."""

from __future__ import annotations

import asyncio
import json
import logging

import pytest
from botocore.exceptions import ClientError

from paddock.front.app import Front, FrontSettings
from paddock.wire.http1_request import ClientGone, IncomingRequest
from paddock.wire.messages import Headers, Request

SCOPE = b"Authorization: AWS4-HMAC-SHA256 Credential=AKIA/20260504/us-east-1/%s/aws4_request, SignedHeaders=host\r\n"


def get(path: bytes, extra: bytes = b"", host: bytes = b"127.0.0.1") -> bytes:
    return b"GET %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n%s\r\n" % (path, host, extra)


async def refused(house, service: str, method: str, **args) -> tuple[int, dict[str, str]]:
    """Status and error of a boto3 call that must fail."""
    with pytest.raises(ClientError) as caught:
        await house.ask(service, method, **args)
    response = caught.value.response
    return response["ResponseMetadata"]["HTTPStatusCode"], response["Error"]


def test_a_query_service_answers_with_the_account_of_the_key(house) -> None:
    async def main() -> None:
        async with house() as h:
            answer = await h.ask("sts", "get_caller_identity", key="111122223333")
            assert answer["Account"] == "111122223333"
            assert answer["Arn"] == "arn:aws:iam::111122223333:root"
            assert answer["ResponseMetadata"]["RequestId"] == "00000000-0000-0000-0000-000000000001"
            assert h.desk.calls[0].request_id == "00000000-0000-0000-0000-000000000001"
            assert (await h.ask("sts", "get_caller_identity"))["Account"] == "000000000000"

    asyncio.run(main())


def test_a_rest_service_answers_with_the_region_of_the_scope(house) -> None:
    async def main() -> None:
        async with house() as h:
            answer = await h.ask("lambda", "list_functions", region="ap-south-1")
            assert answer["Functions"] == [{"FunctionName": "ap-south-1"}]
            assert answer["ResponseMetadata"]["HTTPHeaders"]["x-amzn-requestid"].endswith("1")

    asyncio.run(main())


def test_a_reply_keeps_its_own_headers_and_payload(house) -> None:
    async def main() -> None:
        async with house() as h:
            answer = await h.ask("lambda", "invoke", FunctionName="f", Payload=b'{"a": 1}')
            assert answer["Payload"].read() == b'{"a": 1}'
            assert answer["ResponseMetadata"]["HTTPHeaders"]["x-paddock"] == "yes"

    asyncio.run(main())


def test_an_operation_without_output(house) -> None:
    async def main() -> None:
        async with house() as h:
            answer = await h.ask("logs", "describe_log_groups")
            assert answer["ResponseMetadata"]["HTTPStatusCode"] == 200

    asyncio.run(main())


def test_service_errors_are_rendered_with_their_members(house) -> None:
    async def main() -> None:
        async with house() as h:
            status, error = await refused(h, "lambda", "get_function", FunctionName="x")
            assert (status, error["Code"]) == (404, "ResourceNotFoundException")
            assert error["Message"] == "Function not found: x"
            with pytest.raises(ClientError) as caught:
                await h.ask("lambda", "invoke", FunctionName="f", InvocationType="Event")
            assert caught.value.response["Reason"] == "ConcurrentInvocationLimitExceeded"

    asyncio.run(main())


@pytest.mark.parametrize(
    ("service", "method", "args", "names"),
    [
        ("lambda", "create_alias", {"FunctionName": "f", "Name": "a", "FunctionVersion": "1"}, "lambda:CreateAlias"),
        ("sts", "get_session_token", {}, "sts:GetSessionToken"),
        ("logs", "create_log_group", {"logGroupName": "g"}, "logs:CreateLogGroup"),
        ("sqs", "create_queue", {"QueueName": "q"}, "sqs:CreateQueue"),
        ("sns", "list_topics", {}, "sns:ListTopics"),
        ("xray", "get_groups", {}, "xray:GetGroups"),
    ],
)
def test_what_is_not_implemented_says_so_in_the_services_protocol(house, service, method, args, names) -> None:
    async def main() -> None:
        async with house() as h:
            status, error = await refused(h, service, method, **args)
            assert (status, error["Code"]) == (501, "NotImplementedException")
            assert error["Message"] == f"Paddock does not implement {names} yet. See docs/coverage.md."
            assert h.records[0].error_code == "NotImplementedException"
            assert f"{h.records[0].service}:{h.records[0].operation}" == names

    asyncio.run(main())


@pytest.mark.parametrize(("service", "method"), [("ec2", "describe_vpcs"), ("stepfunctions", "list_state_machines")])
def test_services_whose_model_can_not_be_used_still_get_an_error_they_can_read(house, service, method) -> None:
    async def main() -> None:
        async with house() as h:
            status, error = await refused(h, service, method)
            assert (status, error["Code"]) == (501, "NotImplementedException")
            assert "Paddock does not serve" in error["Message"]

    asyncio.run(main())


@pytest.mark.parametrize(
    ("request_bytes", "status", "told"),
    [
        (get(b"/nowhere"), 404, "path '/nowhere'"),
        (get(b"/", SCOPE % b"nosuch"), 501, "credential scope 'nosuch'"),
        (get(b"/", b"X-Amz-Target: Foo.Bar\r\n"), 501, "target 'Foo.Bar'"),
        (get(b"/", SCOPE % b"xray"), 501, "the service xray"),
        (get(b"/2015-03-31/nowhere", SCOPE % b"lambda"), 404, "No operation of lambda"),
    ],
)
def test_what_is_not_recognised_is_answered_with_what_was_understood(house, request_bytes, status, told) -> None:
    async def main() -> None:
        async with house() as h:
            got, fields, body = await h.raw(request_bytes)
            assert got == status
            assert told in json.loads(body)["message"]
            assert fields["x-amzn-requestid"].startswith("00000000-")

    asyncio.run(main())


def test_a_body_over_the_limit_names_the_operation(house) -> None:
    async def main() -> None:
        async with house(body_bytes_max=5_000_000) as h:
            args = {"FunctionName": "f", "Role": "arn:aws:iam::000000000000:role/r", "Handler": "h.h"}
            args["Runtime"] = "python3.12"
            small = await h.ask("lambda", "create_function", Code={"ZipFile": b"x" * 3_000_000}, **args)
            assert small["CodeSize"] == 3_000_000
            status, error = await refused(h, "lambda", "create_function", Code={"ZipFile": b"x" * 4_500_000}, **args)
            assert (status, error["Code"]) == (413, "RequestEntityTooLargeException")
            assert error["Message"] == "Request must be smaller than 5000000 bytes for the CreateFunction operation"

    asyncio.run(main())


@pytest.mark.parametrize(
    ("service", "method", "args", "code"),
    [
        ("lambda", "list_functions", {"MaxItems": 10_001}, "ValidationException"),
        ("logs", "describe_log_groups", {"limit": 51}, "InvalidParameterException"),
    ],
)
def test_broken_constraints_are_refused_before_the_operation(house, service, method, args, code) -> None:
    async def main() -> None:
        async with house() as h:
            status, error = await refused(h, service, method, **args)
            assert (status, error["Code"]) == (400, code)
            assert error["Message"].startswith("1 validation error detected: Value ")
            assert h.desk.calls == []

    asyncio.run(main())


def test_malformed_bodies_are_refused_in_the_services_words(house) -> None:
    async def main() -> None:
        async with house() as h:
            data = (
                b"POST /2015-03-31/functions HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 4\r\n"
            )
            status, fields, body = await h.raw(data + SCOPE % b"lambda" + b'\r\n{"a"')
            assert status == 400
            assert fields["x-amzn-errortype"] == h.records[0].error_code != ""
            assert json.loads(body)["message"]

    asyncio.run(main())


def test_a_defect_is_logged_with_its_traceback_and_answered_without_detail(house, caplog) -> None:
    async def main() -> None:
        async with house() as h:
            with caplog.at_level(logging.ERROR, "paddock.front"):
                status, error = await refused(h, "lambda", "get_policy", FunctionName="f")
            assert (status, error["Code"]) == (500, "ServiceException")
            request_id = h.records[0].request_id
            assert error["Message"] == f"An internal error occurred; the server's log has request id {request_id}."
            assert request_id in caplog.text
            assert "hunter2" in caplog.text

    asyncio.run(main())


def test_a_request_that_takes_too_long_is_given_up(house, caplog) -> None:
    async def main() -> None:
        async with house(request_timeout_s=0.05) as h:
            status, error = await refused(h, "lambda", "get_account_settings")
            assert (status, error["Message"]) == (500, "The request did not finish within 0.05 seconds.")
            # A TimeoutError of an operation's own is a defect like any other.
            _, error = await refused(
                h, "lambda", "list_tags", Resource="arn:aws:lambda:us-east-1:123456789012:function:f"
            )
            assert "internal error" in error["Message"]
        async with house(request_timeout_s=None) as h:
            assert (await h.ask("lambda", "list_functions"))["Functions"]

    asyncio.run(main())


@pytest.mark.parametrize("method", [b"GET", b"HEAD"])
def test_health(house, method: bytes) -> None:
    async def main() -> None:
        async with house() as h:
            status, fields, body = await h.raw(get(b"/health").replace(b"GET", method))
            assert (status, fields["content-type"]) == (200, "application/json")
            expected = {"status": "running", "version": "1.2.3", "services": {"lambda": "available"}}
            assert body == b"" if method == b"HEAD" else json.loads(body) == expected

    asyncio.run(main())


@pytest.mark.parametrize(
    ("request_bytes", "told"),
    [
        (get(b"/health", host=b"evil.example"), "host 'evil.example'"),
        (get(b"/health", b"Origin: https://evil.example\r\n"), "web page"),
        (get(b"/health", b"Sec-Fetch-Site: cross-site\r\n"), "other web sites"),
    ],
)
def test_web_pages_are_refused(house, request_bytes, told: str) -> None:
    async def main() -> None:
        async with house() as h:
            status, _, body = await h.raw(request_bytes)
            assert status == 403
            assert told in json.loads(body)["message"]
            assert h.records[0].error_code == "AccessDeniedException"

    asyncio.run(main())


def test_the_trace_id_is_handed_on_as_it_came(house) -> None:
    async def main() -> None:
        async with house() as h:
            await h.raw(get(b"/2015-03-31/functions", SCOPE % b"lambda" + b"X-Amzn-Trace-Id: Root=1-2-3\r\n"))
            await h.raw(get(b"/2015-03-31/functions", SCOPE % b"lambda"))
            assert [call.trace_id for call in h.desk.calls] == ["Root=1-2-3", ""]

    asyncio.run(main())


def test_an_impossible_region_is_refused(house) -> None:
    async def main() -> None:
        async with house() as h:
            scope = (SCOPE % b"lambda").replace(b"us-east-1", b"us:east")
            status, fields, _ = await h.raw(get(b"/2015-03-31/functions", scope))
            assert (status, fields["x-amzn-errortype"]) == (403, "InvalidSignatureException")

    asyncio.run(main())


def test_one_access_record_per_request(house) -> None:
    async def main() -> None:
        async with house() as h:
            await h.ask("lambda", "invoke", FunctionName="f", Payload=b"12345")
            (record,) = h.records
            assert (record.service, record.operation, record.status, record.error_code) == ("lambda", "Invoke", 200, "")
            assert (record.bytes_in, record.bytes_out) == (5, 5)
            assert record.duration_s > 0
            await refused(h, "lambda", "get_function", FunctionName="x")
            assert h.records[1].error_code == "ResourceNotFoundException"
            assert h.records[1].status == 404

    asyncio.run(main())


def test_a_client_that_leaves_is_recorded_and_no_error() -> None:
    records = []

    async def main() -> None:
        front = Front(
            [], FrontSettings(), new_id=lambda: "id", health=dict, record=records.append, monotonic=lambda: 1.0
        )
        incoming = IncomingRequest(method="POST", path="/", headers=Headers(), content_length=9)
        incoming.feed(b"abc")
        incoming.fail(ClientGone("gone"))
        with pytest.raises(ClientGone):
            await front.handle(incoming)

    asyncio.run(main())
    assert [(r.status, r.error_code, r.bytes_in) for r in records] == [(0, "ClientGone", 3)]


def test_cancellation_passes_through(house) -> None:
    async def main() -> None:
        async with house() as h:
            request = Request(
                method="GET", path="/2016-08-19/account-settings", headers=Headers([("Host", "localhost")])
            )
            serving = asyncio.create_task(h.front.handle(IncomingRequest.of(request)))
            await h.desk.entered.wait()
            serving.cancel()
            with pytest.raises(asyncio.CancelledError):
                await serving
            assert (h.records[0].status, h.records[0].operation) == (0, "GetAccountSettings")

    asyncio.run(main())


def test_a_recognised_invoke_needs_no_task_and_nothing_else_goes_without(house) -> None:
    async def story() -> None:
        async with house() as here:
            for _ in range(200):  # one whose body comes in a packet after its head waits for it in a task
                answer = await here.ask("lambda", "invoke", FunctionName="f", Payload=b"[1]")
                assert answer["Payload"].read() == b"[1]"
                if not here.desk.has_task[-1]:
                    break
            with pytest.raises(ClientError):
                await here.ask("lambda", "invoke", FunctionName="f", Payload=b"[1]", InvocationType="Event")
            first, *_, known, other = here.desk.has_task
            assert (first, known, other) == (True, False, True), "first seen, known, another head"

    asyncio.run(story())
