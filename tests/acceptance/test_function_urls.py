"""Function URLs over plain HTTP: who gets in, what the function sees, what comes back, and every bad end."""

from __future__ import annotations

import base64
import hashlib
import http.client
import json
import os
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from botocore.auth import SigV4Auth, SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from tests.support.packages import installed
from tests.support.server import ROOT, RunningServer

ECHO = """
import base64, json, os, signal, time
def handler(event, context):
    do = (event.get("queryStringParameters") or {}).get("do", "echo")
    if do == "echo":
        return event
    if do == "raise":
        raise ValueError("no")
    if do == "exit":
        os._exit(3)
    if do == "sleep":
        time.sleep(60)
    if do == "wait":
        time.sleep(0.5)
        return "waited"
    if do == "bad":
        return {"statusCode": 200, "headers": {"bad name": "x"}}
    if do == "large":
        return "x" * (6 * 1024 * 1024 + 200)
    if do == "page":
        return {"statusCode": 418, "headers": {"Content-Type": "text/html"}, "cookies": ["a=1", "b=2"],
                "body": base64.b64encode(b"<p>\\xff").decode(), "isBase64Encoded": True}
    return do
"""


class Visitor:
    """Plain HTTP to one URL, whose name need not resolve."""

    def __init__(self, server: RunningServer, url: str) -> None:
        self.url = url
        self._address = urlsplit(server.endpoint).netloc

    def __call__(
        self, method: str, target: str = "/", body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> tuple[int, http.client.HTTPMessage, bytes]:  # fmt: skip
        connection = http.client.HTTPConnection(self._address, timeout=60)
        try:
            connection.request(method, target, body, {"Host": urlsplit(self.url).netloc, **(headers or {})})
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read()
        finally:
            connection.close()

    def signed(
        self, target: str = "/", *, key: str = "000000000000", secret: str = "test", region: str = "us-east-1",
        auth: Any = SigV4Auth, **more: Any,
    ) -> tuple[int, http.client.HTTPMessage, bytes]:  # fmt: skip
        request = AWSRequest("GET", self.url.rstrip("/") + target)
        auth(Credentials(key, secret, more.get("token")), "lambda", region).add_auth(request)
        parts = urlsplit(request.url or "")
        return self("GET", parts.path + (f"?{parts.query}" if parts.query else ""), headers=dict(request.headers))


def opened(server: RunningServer, name: str, auth: str = "NONE", **settings: Any) -> Visitor:
    """The URL of the function, which everybody may use."""
    aws = server.client("lambda")
    made = aws.create_function_url_config(FunctionName=name, AuthType=auth, **settings)
    if auth == "NONE":
        allow(aws, name)
    return Visitor(server, made["FunctionUrl"])


def allow(aws: Any, name: str, principal: str = "*", auth: str = "NONE", **more: Any) -> None:
    aws.add_permission(
        FunctionName=name, StatementId="url", Action="lambda:InvokeFunctionUrl", Principal=principal,
        FunctionUrlAuthType=auth, **more,
    )  # fmt: skip
    aws.add_permission(
        FunctionName=name, StatementId="via", Action="lambda:InvokeFunction", Principal=principal,
        InvokedViaFunctionUrl=True, **more,
    )  # fmt: skip


@pytest.fixture(scope="module")
def shared(server: RunningServer) -> Visitor:
    server.create("urls-shared", ECHO, Timeout=2, MemorySize=1769)
    cors = {"AllowOrigins": ["https://a.example"], "AllowMethods": ["GET"], "MaxAge": 5}
    return opened(server, "urls-shared", Cors=cors)


def test_the_event_and_the_answer(shared: Visitor) -> None:
    target = "/pa2%Fth/1?a=1&a=2&plus=x+y"
    status, headers, body = shared("POST", target, b'{"k": 1}', {"Cookie": "c=1; d=2", "Content-Type": "text/plain"})
    assert status == 200
    assert headers["Content-Type"] == "application/json"
    event = json.loads(body)
    assert (event["version"], event["rawPath"], event["rawQueryString"]) == (
        "2.0", "/pa2%Fth/1", "a=1&a=2&plus=x+y",
    )  # fmt: skip
    assert event["queryStringParameters"] == {"a": "1,2", "plus": "x+y"}
    assert event["cookies"] == ["c=1", "d=2"]
    assert event["body"] == '{"k": 1}'
    context = event["requestContext"]
    assert context["http"]["sourceIp"] == "127.0.0.1"
    assert context["accountId"] == "anonymous"
    assert context["requestId"] == headers["x-amzn-RequestId"]
    assert event["headers"]["x-amzn-trace-id"] == headers["X-Amzn-Trace-Id"]
    assert shared.url.startswith(f"http://{context['domainName']}:{event['headers']['x-forwarded-port']}/")
    binary = json.loads(shared("PUT", "/", b"\x00\xff")[2])
    assert (binary["isBase64Encoded"], base64.b64decode(binary["body"])) == (True, b"\x00\xff")


def test_a_response_with_everything(shared: Visitor) -> None:
    status, headers, body = shared("GET", "/?do=page")
    assert status == 418
    assert body == b"<p>\xff"
    assert headers.get_all("Set-Cookie") == ["a=1", "b=2"]
    assert headers["Content-Type"] == "text/html"
    status, headers, body = shared("HEAD", "/?do=page")
    assert (status, headers["Content-Length"], body) == (418, "4", b"")


@pytest.mark.parametrize("do", ["raise", "exit", "sleep", "bad", "large"])
def test_what_goes_wrong_inside_is_a_bad_gateway(shared: Visitor, do: str) -> None:
    status, headers, body = shared("GET", f"/?do={do}")
    assert status == 502
    assert body == b"Internal Server Error"
    assert headers["x-amzn-RequestId"]


def test_a_body_that_is_too_large_is_refused(shared: Visitor) -> None:
    status, headers, body = shared("POST", "/", b"x" * 10_000_000)
    assert status == 413
    assert headers["x-amzn-ErrorType"] == "RequestEntityTooLargeException"
    assert "6291456" in json.loads(body)["Message"]
    # Within the limit as it comes, over it as base64.
    assert shared("POST", "/", b"\xff" * 6_000_000)[0] == 413


def test_pages_of_other_origins(shared: Visitor) -> None:
    page = {"Origin": "https://a.example", "Access-Control-Request-Method": "GET", "Sec-Fetch-Site": "cross-site"}
    status, headers, body = shared("OPTIONS", "/?do=raise", headers=page)
    assert (status, body) == (200, b"")
    assert headers["Access-Control-Allow-Methods"] == "GET"
    status, headers, body = shared("GET", "/?do=plain", headers=page)
    assert (status, body, headers["Access-Control-Allow-Origin"]) == (200, b"plain", "https://a.example")
    assert "Access-Control-Allow-Origin" not in shared("GET", "/", headers={**page, "Origin": "https://b.example"})[1]


def test_without_a_statement_nobody_gets_in(server: RunningServer, name: str) -> None:
    server.create(name, ECHO)
    aws = server.client("lambda")
    visitor = Visitor(server, aws.create_function_url_config(FunctionName=name, AuthType="NONE")["FunctionUrl"])
    status, headers, body = visitor("GET")
    assert status == 403
    assert headers["x-amzn-ErrorType"] == "AccessDeniedException"
    assert json.loads(body)["Message"].startswith("Forbidden. For troubleshooting Function URL authorization issues")
    half = {"FunctionName": name, "StatementId": "url", "Action": "lambda:InvokeFunctionUrl", "Principal": "*"}
    aws.add_permission(**half, FunctionUrlAuthType="NONE")
    assert visitor("GET")[0] == 403
    aws.add_permission(
        FunctionName=name, StatementId="via", Action="lambda:InvokeFunction", Principal="*", InvokedViaFunctionUrl=True
    )
    assert visitor("GET")[0] == 200
    aws.update_function_url_config(FunctionName=name, AuthType="AWS_IAM")
    assert visitor("GET")[0] == 403
    aws.delete_function_url_config(FunctionName=name)
    status, headers, body = visitor("GET")
    assert (status, body) == (403, b'{"Message": null}')


def test_who_signs_gets_in(server: RunningServer, name: str) -> None:
    server.create(name, ECHO)
    visitor = opened(server, name, "AWS_IAM")
    status, _, body = visitor.signed("/a//b?x=1&y=a%20b")
    assert status == 200
    context = json.loads(body)["requestContext"]
    assert context["accountId"] == "000000000000"
    assert context["authorizer"]["iam"]["accessKey"] == "000000000000"
    assert visitor.signed(auth=SigV4QueryAuth)[0] == 200
    trust = {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"AWS": "000000000000"}}
    role = server.client("iam").create_role(
        RoleName="visitors", AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [trust]})
    )["Role"]["Arn"]
    session = server.client("sts").assume_role(RoleArn=role, RoleSessionName="visit")["Credentials"]
    temporary = {"key": session["AccessKeyId"], "secret": session["SecretAccessKey"], "token": session["SessionToken"]}
    body = visitor.signed(**temporary)[2]
    assert json.loads(body)["requestContext"]["authorizer"]["iam"]["userArn"].endswith(":assumed-role/visitors/visit")
    assert visitor.signed(**{**temporary, "token": temporary["token"][:-9] + "AAAAAAAA="})[0] == 403
    assert visitor("GET")[0] == 403
    for wrong in ({"secret": "wrong"}, {"region": "eu-west-1"}):
        status, headers, body = visitor.signed(**wrong)
        assert status == 403
        assert headers["x-amzn-ErrorType"] == "InvalidSignatureException"
        assert json.loads(body)["message"]
    foreign = {"key": "111111111111"}
    assert visitor.signed(**foreign)[0] == 403
    allow(server.client("lambda"), name, "111111111111", "AWS_IAM")
    assert visitor.signed(**foreign)[0] == 200


def test_an_alias_has_a_url_and_a_policy_of_its_own(server: RunningServer, name: str) -> None:
    server.create(
        name, "def handler(event, context):\n    return context.invoked_function_arn + context.function_version"
    )
    aws = server.client("lambda")
    aws.publish_version(FunctionName=name)
    aws.get_waiter("published_version_active").wait(FunctionName=name, Qualifier="1", WaiterConfig={"Delay": 0.05})
    aws.create_alias(FunctionName=name, Name="live", FunctionVersion="1")
    made = aws.create_function_url_config(FunctionName=name, Qualifier="live", AuthType="NONE")
    visitor = Visitor(server, made["FunctionUrl"])
    allow(aws, name)
    assert visitor("GET")[0] == 403  # the function's own policy says nothing of the alias
    allow(aws, name, Qualifier="live")
    assert visitor("GET")[2].decode() == f"{made['FunctionArn']}1"
    aws.delete_alias(FunctionName=name, Name="live")
    assert visitor("GET")[0] == 403


def test_one_request_too_many(server: RunningServer, name: str) -> None:
    server.create(name, ECHO)
    visitor = opened(server, name)
    assert visitor("GET", "/?do=plain")[0] == 200
    aws = server.client("lambda")
    aws.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=1)
    statuses: list[int] = []
    threads = [threading.Thread(target=lambda: statuses.append(visitor("GET", "/?do=wait")[0])) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(statuses) == [200, 429, 429]
    aws.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=0)
    status, headers, body = visitor("GET")
    assert status == 429
    assert headers["x-amzn-ErrorType"] == "TooManyRequestsException"
    assert json.loads(body) == {"Message": "Rate Exceeded."}


def test_other_hosts_are_no_url(server: RunningServer, shared: Visitor) -> None:
    elsewhere = shared.url.replace("us-east-1", "eu-west-1")
    unknown = f"http://{'0' * 32}.lambda-url.us-east-1.localhost/"
    for url in (elsewhere, unknown):
        assert Visitor(server, url)("GET")[::2] == (403, b'{"Message": null}')
    evil = Visitor(server, shared.url.replace(".localhost", ".evil.example"))
    assert b"does not answer for the host" in evil("GET")[2]


def test_the_command_line(server: RunningServer, name: str) -> None:
    server.create(name, ECHO)
    environment = {
        **os.environ, "AWS_ENDPOINT_URL": server.endpoint, "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1",
    }  # fmt: skip
    command = [Path(sys.executable).parent / "aws", "lambda", "create-function-url-config", "--function-name", name]
    command += ["--auth-type", "AWS_IAM", "--cors", '{"AllowOrigins": ["*"]}', "--invoke-mode", "BUFFERED"]
    done = subprocess.run(command, check=True, env=environment, capture_output=True)
    made = json.loads(done.stdout)
    assert made["Cors"] == {"AllowOrigins": ["*"]}
    assert Visitor(server, made["FunctionUrl"]).signed("/?do=plain")[2] == b"plain"


@pytest.mark.timeout(600)
def test_a_web_application(server: RunningServer, tmp_path: Path) -> None:
    """examples/fastapi_url."""
    example = ROOT / "examples" / "fastapi_url"
    files = installed(tmp_path / "package", "-r", str(example / "requirements.txt"))
    files["app.py"] = (example / "app.py").read_bytes()
    server.create("notes", files, MemorySize=1769)
    visit = opened(server, "notes")
    status, _, body = visit("GET", "/notes/hello?upper=true", headers={"Cookie": "visits=3; other=x"})
    assert (status, json.loads(body)) == (200, {"name": "HELLO", "visits": 3})
    status, headers, body = visit(
        "POST", "/notes", b'{"text": "caf\xc3\xa9", "priority": 7}', {"Content-Type": "application/json"}
    )
    assert (status, json.loads(body)) == (201, {"text": "café", "from": "127.0.0.1"})
    assert [cookie.partition(";")[0] for cookie in headers.get_all("Set-Cookie", [])] == ["visits=7", "theme=dark"]
    assert visit("POST", "/notes", b"{}", {"Content-Type": "application/json"})[0] == 422
    status, headers, body = visit("POST", "/digest", bytes(range(256)))
    assert (headers["Content-Type"], body) == ("application/octet-stream", hashlib.sha256(bytes(range(256))).digest())
    assert visit("GET", "/none")[0] == 404
    assert b"swagger" in visit("GET", "/docs")[2]
