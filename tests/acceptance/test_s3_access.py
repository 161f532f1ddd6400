"""Who gets in: bucket policies, the public access block, and pages of other sites by CORS rules."""

from __future__ import annotations

import http.client
import json
from typing import Any
from urllib.parse import urlsplit

import pytest
from botocore.exceptions import ClientError

from tests.support.server import RunningServer

PAGE, OTHER_PAGE = "https://shop.example", "https://evil.example"
OTHER_ACCOUNT = "111122223333"


@pytest.fixture
def s3(server: RunningServer) -> Any:
    return server.client("s3")


def send(server: RunningServer, method: str, target: str, body: bytes = b"", **fields: str) -> tuple[int, str, Any]:
    """A request that nobody signed: (status, S3's error code or "", header fields)."""
    url = urlsplit(server.endpoint)
    connection = http.client.HTTPConnection(url.hostname or "", url.port, timeout=30)
    headers = {name.replace("_", "-"): value for name, value in fields.items()}
    connection.request(method, target, body=body, headers=headers)
    response = connection.getresponse()
    content = response.read().decode()
    connection.close()
    code = content.partition("<Code>")[2].partition("</Code>")[0]
    return response.status, code, response.headers


def policy(*statements: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def opened(s3: Any, name: str, *statements: dict[str, Any]) -> str:
    """A bucket with an object `public/a`, which these statements are about."""
    s3.create_bucket(Bucket=name)
    s3.delete_public_access_block(Bucket=name)
    s3.put_object(Bucket=name, Key="public/a", Body=b"hello")
    s3.put_object(Bucket=name, Key="private/a", Body=b"secret")
    if statements:
        s3.put_bucket_policy(Bucket=name, Policy=policy(*statements))
    return name


def allow(name: str, action: Any, resource: str, **more: Any) -> dict[str, Any]:
    arn = f"arn:aws:s3:::{name}{resource}"
    return {"Effect": "Allow", "Principal": "*", "Action": action, "Resource": arn, **more}


def test_nobody_in_particular_is_closed_out_until_a_policy_opens(server: RunningServer, s3: Any) -> None:
    name = opened(s3, "closed-first")
    for method, target in (
        ("GET", "/closed-first/public/a"), ("HEAD", "/closed-first/public/a"), ("PUT", "/closed-first/b"),
        ("DELETE", "/closed-first/public/a"), ("GET", "/closed-first?list-type=2"), ("GET", "/closed-first?policy"),
        ("PUT", "/made-by-nobody"), ("POST", "/closed-first/big?uploads"), ("GET", "/"),
    ):  # fmt: skip
        assert send(server, method, target)[0] == 403, (method, target)
    s3.put_bucket_policy(Bucket=name, Policy=policy(allow(name, "s3:GetObject", "/public/*")))
    assert send(server, "GET", "/closed-first/public/a")[0] == 200
    assert send(server, "GET", "/closed-first/private/a")[:2] == (403, "AccessDenied")
    assert send(server, "PUT", "/closed-first/public/b", b"x")[:2] == (403, "AccessDenied")
    assert send(server, "GET", "/closed-first/public/none")[:2] == (403, "AccessDenied")
    listing = allow(name, "s3:ListBucket", "", Condition={"StringLike": {"s3:prefix": "public/*"}})
    s3.put_bucket_policy(Bucket=name, Policy=policy(allow(name, "s3:GetObject", "/public/*"), listing))
    assert send(server, "GET", "/closed-first?list-type=2&prefix=public/x")[0] == 200
    assert send(server, "GET", "/closed-first?list-type=2&prefix=private/")[0] == 403
    assert send(server, "GET", "/made-by-nobody/k")[:2] == (404, "NoSuchBucket")


def test_the_public_access_block_overrides_a_policy(server: RunningServer, s3: Any) -> None:
    name = opened(s3, "blocked-later", allow("blocked-later", "s3:GetObject", "/*"))
    assert send(server, "GET", f"/{name}/public/a")[0] == 200
    s3.put_public_access_block(Bucket=name, PublicAccessBlockConfiguration={"RestrictPublicBuckets": True})
    assert send(server, "GET", f"/{name}/public/a")[:2] == (403, "AccessDenied")
    assert s3.get_object(Bucket=name, Key="public/a")["Body"].read() == b"hello"


def test_other_accounts_may_what_the_policy_says(server: RunningServer, s3: Any) -> None:
    principal = {"AWS": f"arn:aws:iam::{OTHER_ACCOUNT}:root"}
    name = opened(s3, "lent", {**allow("lent", ["s3:GetObject", "s3:PutObject"], "/public/*"), "Principal": principal})
    other = server.client("s3", account=OTHER_ACCOUNT)
    assert other.get_object(Bucket=name, Key="public/a")["Body"].read() == b"hello"
    other.put_object(Bucket=name, Key="public/b", Body=b"theirs")
    for call, key in ((other.get_object, "private/a"), (other.delete_object, "public/a")):
        with pytest.raises(ClientError, match="AccessDenied"):
            call(Bucket=name, Key=key)
    answer = other.delete_objects(Bucket=name, Delete={"Objects": [{"Key": "public/a"}]})
    assert [each["Code"] for each in answer["Errors"]] == ["AccessDenied"]
    with pytest.raises(ClientError, match="AccessDenied"):
        other.copy_object(Bucket=name, Key="public/c", CopySource=f"{name}/private/a")
    assert send(server, "GET", f"/{name}/public/a")[0] == 403


def test_a_denial_holds_for_the_owner_too_but_for_the_policy_itself(s3: Any) -> None:
    deny = {**allow("denied", "s3:*", "*"), "Effect": "Deny"}
    secure = {**deny, "Condition": {"Bool": {"aws:SecureTransport": "false"}}}
    name = opened(s3, "denied", secure)
    assert s3.get_object(Bucket=name, Key="public/a")["Body"].read() == b"hello"
    s3.put_bucket_policy(Bucket=name, Policy=policy({**deny, "Action": "s3:DeleteObject"}))
    with pytest.raises(ClientError, match="AccessDenied"):
        s3.delete_object(Bucket=name, Key="public/a")
    s3.put_bucket_policy(Bucket=name, Policy=policy(deny))
    with pytest.raises(ClientError, match="AccessDenied"):
        s3.list_objects_v2(Bucket=name)
    assert json.loads(s3.get_bucket_policy(Bucket=name)["Policy"])["Statement"][0]["Effect"] == "Deny"
    s3.delete_bucket_policy(Bucket=name)
    s3.delete_object(Bucket=name, Key="public/a")


def test_policies_that_can_not_hold_are_refused(s3: Any) -> None:
    name = opened(s3, "bad-policies")
    for statement in (
        allow("another-bucket", "s3:GetObject", "/*"), allow("bad-policies2", "s3:GetObject", "/*"),
        allow(name, "sqs:SendMessage", "/*"),
    ):  # fmt: skip
        with pytest.raises(ClientError, match="MalformedPolicy"):
            s3.put_bucket_policy(Bucket=name, Policy=policy(statement))
    tagged = allow(name, "s3:GetObject", "/*", Condition={"StringEquals": {"s3:ExistingObjectTag/a": "b"}})
    with pytest.raises(ClientError, match="ExistingObjectTag"):
        s3.put_bucket_policy(Bucket=name, Policy=policy(tagged))


# ---- pages of other sites


@pytest.fixture(scope="module")
def shop(server: RunningServer) -> str:
    """Opened to a page by CORS, and to everybody (for reading, and for putting below up/) by its policy."""
    s3 = server.client("s3")
    statements = [allow("shop", "s3:GetObject", "/public/*"), allow("shop", "s3:PutObject", "/up/*")]
    name = opened(s3, "shop", *statements)
    rules = [
        {"AllowedOrigins": [PAGE], "AllowedMethods": ["GET", "PUT"], "AllowedHeaders": ["x-amz-*", "content-type"],
         "ExposeHeaders": ["ETag"], "MaxAgeSeconds": 60},
        {"AllowedOrigins": ["http://*.any.example"], "AllowedMethods": ["GET"]},
    ]  # fmt: skip
    s3.put_bucket_cors(Bucket=name, CORSConfiguration={"CORSRules": rules})
    return name


def ask(server: RunningServer, origin: str, method: str, headers: str = "") -> tuple[int, str, Any]:
    more = {"access_control_request_headers": headers} if headers else {}
    return send(server, "OPTIONS", "/shop/public/a", origin=origin, access_control_request_method=method, **more)


def test_preflights_tell_the_rules(server: RunningServer, shop: str) -> None:
    status, _, fields = ask(server, PAGE, "PUT", "Content-Type, X-Amz-Date")
    assert status == 200
    assert fields["Access-Control-Allow-Origin"] == PAGE
    assert fields["Access-Control-Allow-Methods"] == "GET, PUT"
    assert fields["Access-Control-Allow-Headers"] == "content-type, x-amz-date"
    assert fields["Access-Control-Expose-Headers"] == "ETag"
    assert fields["Access-Control-Max-Age"] == "60"
    assert fields["Access-Control-Allow-Credentials"] == "true"
    assert fields["Vary"] == "Origin, Access-Control-Request-Headers, Access-Control-Request-Method"
    assert ask(server, "http://a.any.example", "GET")[0] == 200
    for origin, method, headers in (
        (OTHER_PAGE, "GET", ""), (PAGE, "DELETE", ""), (PAGE, "GET", "x-other"), ("http://any.example", "GET", ""),
        ("http://a.any.example", "PUT", ""), ("null", "GET", ""),
    ):  # fmt: skip
        assert ask(server, origin, method, headers)[:2] == (403, "AccessForbidden"), (origin, method)
    assert ask(server, PAGE, "PATCH")[:2] == (400, "BadRequest")
    no_origin = send(server, "OPTIONS", "/shop/a", access_control_request_method="GET")
    assert no_origin[:2] == (400, "BadRequest")
    no_rules = send(server, "OPTIONS", "/lent/a", origin=PAGE, access_control_request_method="GET")
    assert no_rules[0] in (403, 404)


def test_a_page_that_a_rule_lets_in_reads_the_answer(server: RunningServer, shop: str) -> None:
    status, _, fields = send(server, "GET", "/shop/public/a", origin=PAGE)
    assert (status, fields["Access-Control-Allow-Origin"]) == (200, PAGE)
    status, code, fields = send(server, "GET", "/shop/private/a", origin=PAGE)
    assert (status, code, fields["Access-Control-Allow-Origin"]) == (403, "AccessDenied", PAGE)
    assert send(server, "PUT", "/shop/up/x", b"by page", origin=PAGE)[0] == 200
    assert send(server, "GET", "/shop/public/a", origin=OTHER_PAGE)[0] == 403
    assert send(server, "DELETE", "/shop/up/x", origin=PAGE)[0] == 403
    assert "Access-Control-Allow-Origin" not in send(server, "GET", "/shop/public/a")[2]


def test_a_page_of_another_site_is_nobody_whatever_it_signs_with(server: RunningServer, s3: Any, shop: str) -> None:
    """Any credentials are accepted here, so a page's own mean nothing; a page of this machine is the user's."""
    scope = "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/{}/aws4_request, SignedHeaders=host, Signature=0"
    for authorization in (scope.format("s3"), "AWS test:x"):
        status, code, _ = send(server, "GET", "/shop/private/a", origin=PAGE, authorization=authorization)
        assert (status, code) == (403, "AccessDenied")
    assert send(server, "GET", "/shop/public/a", origin=PAGE, authorization=scope.format("sqs"))[0] == 403
    presigned = s3.generate_presigned_url("get_object", Params={"Bucket": "shop", "Key": "private/a"})
    target = presigned.removeprefix(server.endpoint)
    assert send(server, "GET", target)[0] == 200
    assert send(server, "GET", target, origin=PAGE)[0] == 403
    assert send(server, "GET", target, origin="http://localhost:3000")[0] == 200
