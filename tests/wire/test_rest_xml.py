"""rest-xml on S3's model: botocore's requests parse back equal, our answers read back equal; errors and bad XML."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from paddock.wire import protocol
from paddock.wire.errors import Malformed
from paddock.wire.messages import Headers, Request
from tests.wire.oracle import Stream, Values, has_event_stream, load, read_by_botocore, request_of

# The two names of one route, of which botocore's clients use the newer; and one told apart by its signature only.
SHADOWED = {
    "GetBucketLifecycle", "GetBucketNotification", "PutBucketLifecycle", "PutBucketNotification",
    "ListDirectoryBuckets",
}  # fmt: skip
# Its host prefix takes letters and digits only, so it can not be drawn at random.
PREFIXED = {"WriteGetObjectResponse"}
# botocore reads its root element's text in a handler of its client.
TEXT_ROOT = {"GetBucketLocation"}

S3 = load("s3")


def as_sent(value: Any) -> Any:
    """What survives botocore's writing: it escapes no CR, writes no fractions of a second, and header names fold."""
    match value:
        case dict():
            return {key.lower() if key[:1].isdigit() else key: as_sent(item) for key, item in value.items()}
        case list():
            return [as_sent(item) for item in value]
        case str():
            return value.replace("\r\n", "\n").replace("\r", "\n")
        case datetime():
            return value.replace(microsecond=0)
    return value


@pytest.mark.parametrize("name", sorted(set(S3.operation_names) - SHADOWED - PREFIXED))
def test_a_request_of_botocore_parses_back_equal(name: str) -> None:
    operation, stream = S3.operation(name), S3.plans[name].stream
    for round_number in range(6):
        params = Values(f"{name}{round_number}", empties=True).members(operation.input_shape, every=round_number == 0)
        request = request_of(operation, params)

        routed, labels = protocol.route(S3, request)
        assert routed == name
        parsed = protocol.parse(S3, name, request, labels)

        for member in (stream, "ContentLength"):
            params.pop(member, None)
            parsed.pop(member, None)
        assert as_sent(parsed) == as_sent(params)


@pytest.mark.parametrize("name", sorted(set(S3.operation_names) - SHADOWED - TEXT_ROOT))
def test_an_answer_reads_back_equal(name: str) -> None:
    operation = S3.operation(name)
    if has_event_stream(operation.output_shape):
        return
    for round_number in range(6):
        output = Values(f"{name}{round_number}", empties=True).members(operation.output_shape, every=round_number == 0)
        response = protocol.serialize(S3, name, output, "the-request-id")
        read = read_by_botocore(S3, response, operation.output_shape, streaming=operation.has_streaming_output)
        metadata = read.pop("ResponseMetadata")
        assert metadata["RequestId"] == "the-request-id"
        assert metadata["HostId"]
        read = {name: value.body if isinstance(value, Stream) else value for name, value in read.items()}
        if response.status == 204:
            output = {
                k: v for k, v in output.items() if operation.output_shape.members[k].serialization.get("location")
            }
        if not read.get("Metadata"):
            read.pop("Metadata", None)
        assert as_sent(read) == as_sent(output)


@pytest.mark.parametrize(
    ("method", "target", "headers", "operation"),
    [
        ("PUT", "/b/k", {}, "PutObject"),
        ("PUT", "/b/k", {"x-amz-copy-source": "/b/o"}, "CopyObject"),
        ("PUT", "/b/k?partNumber=1&uploadId=u", {}, "UploadPart"),
        ("PUT", "/b/k?partNumber=1&uploadId=u", {"x-amz-copy-source": "/b/o"}, "UploadPartCopy"),
        ("GET", "/b/k?uploadId=u", {}, "ListParts"),
        ("GET", "/b/k?x-id=GetObject", {}, "GetObject"),
        ("DELETE", "/b/k?uploadId=u", {}, "AbortMultipartUpload"),
        ("DELETE", "/b/k?versionId=v", {}, "DeleteObject"),
        ("POST", "/b?delete", {}, "DeleteObjects"),
        ("GET", "/b?list-type=2&prefix=a", {}, "ListObjectsV2"),
        ("GET", "/b?prefix=a", {}, "ListObjects"),
        ("GET", "/b/?versions", {}, "ListObjectVersions"),
        ("GET", "/b?lifecycle", {}, "GetBucketLifecycleConfiguration"),
        ("GET", "/b?notification", {}, "GetBucketNotificationConfiguration"),
        ("GET", "/b?analytics", {}, "ListBucketAnalyticsConfigurations"),
        ("GET", "/b?analytics&id=1", {}, "GetBucketAnalyticsConfiguration"),
        ("GET", "/", {}, "ListBuckets"),
    ],
)
def test_operations_of_one_path_are_told_apart(
    method: str, target: str, headers: dict[str, str], operation: str
) -> None:
    path, _, query = target.partition("?")
    request = Request(method=method, path=path, query=query, headers=Headers(headers.items()))
    assert protocol.route(S3, request)[0] == operation


@pytest.mark.parametrize("key", ["a/b", "a//b", "/a", "a/", "..", "./../etc/passwd", "ä 漢😀", "%2F", "a+b&c=d", "\\"])
def test_keys_are_decoded_once_and_never_normalised(key: str) -> None:
    request = request_of(S3.operation("HeadObject"), {"Bucket": "b", "Key": key})
    assert protocol.route(S3, request)[1]["Key"] == key


@pytest.mark.parametrize(
    "body",
    [
        b"<Delete><Object><Key>a</Object></Delete>",
        b"no xml",
        b'<!DOCTYPE d [<!ENTITY a "aaaa">]><Delete><Object><Key>&a;</Key></Object></Delete>',
        b"<a>" * 100,
        b"<Delete>" + b"<Object/>" * 100_001 + b"</Delete>",
        b"<Delete><Quiet>maybe</Quiet></Delete>",
        b"<Delete><Object><Key><b/></Key></Object></Delete>",
    ],
)
def test_bad_xml_is_malformed(body: bytes) -> None:
    with pytest.raises(Malformed) as caught:
        protocol.parse(S3, "DeleteObjects", Request(method="POST", path="/b", query="delete", body=body), {})
    assert caught.value.code == "MalformedXML"


def test_a_location_is_the_root_itself() -> None:
    response = protocol.serialize(S3, "GetBucketLocation", {"LocationConstraint": "eu-west-1"}, "r")
    assert b">eu-west-1</LocationConstraint>" in response.body
    assert b"<LocationConstraint xmlns=" in protocol.serialize(S3, "GetBucketLocation", {}, "r").body


def test_errors_stand_bare_and_a_304_is_empty() -> None:
    details: Any = {"message": "gone & lost", "fault": "client", "members": {"Key": "a<b"}, "request_id": "r-1"}
    response = protocol.serialize_error(S3, None, code="NoSuchKey", status=404, **details)
    read = read_by_botocore(S3, response, None)
    assert read["Error"] == {"Code": "NoSuchKey", "Message": "gone & lost", "Key": "a<b"}
    assert read["ResponseMetadata"]["HTTPStatusCode"] == 404
    assert read["ResponseMetadata"]["RequestId"] == "r-1"
    assert protocol.serialize_error(S3, None, code="NotModified", status=304, **details).body == b""


def test_another_service_of_the_protocol_wraps_its_errors() -> None:
    response = protocol.serialize_error(
        load("route53"), None, code="NoSuchThing", message="m", status=404, fault="client", members={}, request_id="r"
    )
    read = read_by_botocore(load("route53"), response, None)
    assert read["Error"] == {"Code": "NoSuchThing", "Message": "m", "Type": "Sender"}
