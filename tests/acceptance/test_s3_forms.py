"""Uploads by browsers' forms (POST Object), made by boto3's generate_presigned_post."""

from __future__ import annotations

import base64
import http.client
import json
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.support.server import RunningServer

BUCKET = "forms"
BOUNDARY = "----boundary7"


@pytest.fixture(scope="module")
def s3(server: RunningServer) -> Any:
    client = server.client("s3")
    client.create_bucket(Bucket=BUCKET)
    return client


def form(fields: dict[str, str], content: bytes, filename: str = "C:\\pics\\a b.jpg", more: str = "") -> bytes:
    parts = [
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{text}\r\n'
        for name, text in fields.items()
    ]
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="{filename}"\r\n'
    head += "Content-Type: image/jpeg\r\n\r\n"
    return ("".join(parts) + head).encode() + content + f"\r\n--{BOUNDARY}{more}--\r\n".encode()


def send(server: RunningServer, body: bytes, path: str = f"/{BUCKET}", **more: str) -> tuple[int, str, Any]:
    url = urlsplit(server.endpoint)
    connection = http.client.HTTPConnection(url.hostname or "", url.port, timeout=30)
    headers = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}", **more}
    connection.request("POST", path, body=body, headers=headers)
    response = connection.getresponse()
    content = response.read().decode()
    connection.close()
    return response.status, content, response.headers


def code_of(answer: tuple[int, str, Any]) -> tuple[int, str]:
    return answer[0], answer[1].partition("<Code>")[2].partition("</Code>")[0]


@pytest.mark.parametrize("size", [0, 10, 32_768, 300_000])
def test_a_form_uploads_what_its_policy_lets_it(server: RunningServer, s3: Any, size: int) -> None:
    made = s3.generate_presigned_post(
        BUCKET, "in/${filename}", Fields={"Content-Type": "image/jpeg", "x-amz-meta-who": "me"},
        Conditions=[{"Content-Type": "image/jpeg"}, ["starts-with", "$x-amz-meta-who", ""],
                    ["content-length-range", 0, 300_000]],
    )  # fmt: skip
    assert made["url"].startswith(server.endpoint)
    content = bytes(number % 251 for number in range(size)) if size != 300_000 else (b"\r\n--" + b"x" * 9_996) * 30
    status, _, headers = send(server, form(made["fields"], content))
    assert status == 204
    got = s3.get_object(Bucket=BUCKET, Key="in/a b.jpg")
    assert got["Body"].read() == content
    assert (got["ContentType"], got["Metadata"], got["ETag"]) == ("image/jpeg", {"who": "me"}, headers["ETag"])


def test_what_the_form_asks_to_be_told(server: RunningServer, s3: Any) -> None:
    conditions = [{"success_action_status": "201"}]
    made = s3.generate_presigned_post(BUCKET, "k", {"success_action_status": "201"}, conditions)
    status, body, _ = send(server, form(made["fields"], b"x"))
    assert status == 201
    assert f"<Bucket>{BUCKET}</Bucket><Key>k</Key>" in body
    redirect = {"success_action_redirect": "http://localhost/done?x=1"}
    made = s3.generate_presigned_post(BUCKET, "k", redirect, [redirect])
    status, _, headers = send(server, form(made["fields"], b"x"))
    assert (status, headers["Location"]) == (
        303, "http://localhost/done?x=1&bucket=forms&key=k&etag=%229dd4e461268c8034f5c8564e155c67a6%22",
    )  # fmt: skip


def test_what_the_policy_does_not_let_pass(server: RunningServer, s3: Any) -> None:
    made = s3.generate_presigned_post(BUCKET, "user/${filename}", Conditions=[["content-length-range", 2, 4]])
    fields = made["fields"]
    assert code_of(send(server, form(fields, b"x"))) == (400, "EntityTooSmall")
    assert code_of(send(server, form(fields, b"x" * 5))) == (400, "EntityTooLarge")
    assert code_of(send(server, form(fields, b"x" * 100_000))) == (400, "EntityTooLarge")
    assert code_of(send(server, form({**fields, "key": "other"}, b"xyz"))) == (403, "AccessDenied")
    assert code_of(send(server, form({**fields, "acl": "private"}, b"xyz"))) == (403, "AccessDenied")
    assert code_of(send(server, form({**fields, "policy": "?"}, b"xyz"))) == (400, "InvalidPolicyDocument")
    expired = base64.b64encode(
        json.dumps({"expiration": "2020-01-01T00:00:00Z", "conditions": [["starts-with", "$key", ""]]}).encode()
    ).decode()
    status, body, _ = send(server, form({"key": "k", "AWSAccessKeyId": "t", "policy": expired}, b"x"))
    assert (status, "Policy expired" in body) == (403, True)
    without = {name: text for name, text in fields.items() if name != "policy"}
    assert code_of(send(server, form(without, b"xyz"))) == (400, "InvalidArgument")
    assert code_of(send(server, form({"key": "k"}, b"xyz"))) == (403, "AccessDenied")
    assert "Contents" not in s3.list_objects_v2(Bucket=BUCKET, Prefix="user/")


def test_forms_that_are_none(server: RunningServer, s3: Any) -> None:
    whole = form(s3.generate_presigned_post(BUCKET, "broken")["fields"], b"x" * 50_000)
    assert code_of(send(server, whole[:-30])) == (400, "IncompleteBody")
    assert code_of(send(server, b"nothing")) == (400, "IncompleteBody")
    no_file = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="key"\r\n\r\nk\r\n--{BOUNDARY}--\r\n'.encode()
    assert code_of(send(server, no_file)) == (400, "InvalidArgument")
    long = form({"key": "k", "x-ignore-a": "y" * 30_000}, b"x")
    assert code_of(send(server, long)) == (400, "MaxPostPreDataLengthExceededError")
    assert code_of(send(server, whole, **{"Content-Type": "multipart/form-data"})) == (400, "MalformedPOSTRequest")
    page = {"Origin": "https://evil.example"}
    assert code_of(send(server, whole, **page))[0] == 403
    assert "Contents" not in s3.list_objects_v2(Bucket=BUCKET, Prefix="broken")
