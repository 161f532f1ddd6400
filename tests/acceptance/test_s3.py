"""S3 through boto3: buckets, objects, versions, multipart uploads, listings, conditions, checksums, settings."""

from __future__ import annotations

import base64
import hashlib
import http.client
import io
import re
import threading
import urllib.error
import urllib.request
import zlib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import pytest
from botocore.exceptions import BotoCoreError, ClientError

from tests.support.server import ROLE, RunningServer, default_runtime, zipped

MIB = 1 << 20


@pytest.fixture
def s3(server: RunningServer) -> Any:
    return server.client("s3")


@pytest.fixture
def bucket(s3: Any, request: pytest.FixtureRequest) -> str:
    """A bucket of this test's own."""
    name = re.sub("[^a-z0-9]+", "-", request.node.name.lower().removeprefix("test_"))[:50].strip("-")
    s3.create_bucket(Bucket=name)
    return name


def refused(call: Any, **params: Any) -> tuple[str, int]:
    with pytest.raises(ClientError) as caught:
        call(**params)
    response = caught.value.response
    return response["Error"]["Code"], response["ResponseMetadata"]["HTTPStatusCode"]


def body_of(answer: dict[str, Any]) -> bytes:
    content: bytes = answer["Body"].read()
    return content


def raw(server: RunningServer, method: str, target: str, body: bytes = b"", **headers: str) -> tuple[int, bytes, Any]:
    """A request that no SDK would send; signed as it were, for buckets are closed to nobody in particular."""
    url = urlsplit(server.endpoint)
    connection = http.client.HTTPConnection(url.hostname or "", url.port, timeout=30)
    fields = {"Authorization": "AWS test:x", **{name.replace("_", "-"): value for name, value in headers.items()}}
    connection.request(method, target, body=body, headers=fields)
    response = connection.getresponse()
    content = response.read()
    connection.close()
    return response.status, content, response.headers


def patterned(size: int) -> bytes:
    return (hashlib.sha256(b"%d" % size).digest() * (size // 32 + 1))[:size]


# ---- objects


@pytest.mark.parametrize("size", [0, 1, 32_768, 32_769, 3 * MIB + 7])
def test_an_object_comes_back_as_it_went(s3: Any, bucket: str, size: int) -> None:
    content = patterned(size)
    put = s3.put_object(
        Bucket=bucket, Key="k", Body=content, ContentType="image/jpeg", Metadata={"Colour": "red"},
        CacheControl="no-store", Tagging="a=1&b=2",
    )  # fmt: skip
    assert put["ETag"] == f'"{hashlib.md5(content).hexdigest()}"'
    assert put["ChecksumCRC32"] == base64.b64encode(zlib.crc32(content).to_bytes(4, "big")).decode()

    got = s3.get_object(Bucket=bucket, Key="k", ChecksumMode="ENABLED")
    assert body_of(got) == content
    assert (got["ContentType"], got["CacheControl"], got["ContentLength"]) == ("image/jpeg", "no-store", size)
    assert got["Metadata"] == {"colour": "red"}
    assert (got["TagCount"], got["ETag"], got["ChecksumCRC32"]) == (2, put["ETag"], put["ChecksumCRC32"])
    head = s3.head_object(Bucket=bucket, Key="k")
    assert (head["ContentLength"], head["ETag"], head["Metadata"]) == (size, put["ETag"], {"colour": "red"})
    assert "VersionId" not in head


def test_ranges(s3: Any, bucket: str) -> None:
    for key, content in (("small", patterned(1_000)), ("large", patterned(2 * MIB))):
        s3.put_object(Bucket=bucket, Key=key, Body=content)
        for text, expected in (
            ("bytes=0-9", content[:10]),
            ("bytes=990-", content[990:]),
            ("bytes=-5", content[-5:]),
            (f"bytes=5-{10 * MIB}", content[5:]),
        ):
            got = s3.get_object(Bucket=bucket, Key=key, Range=text)
            assert got["ResponseMetadata"]["HTTPStatusCode"] == 206
            assert body_of(got) == expected
            start = len(content) - len(expected) if expected != content[:10] else 0
            assert got["ContentRange"] == f"bytes {start}-{start + len(expected) - 1}/{len(content)}"
        assert refused(s3.get_object, Bucket=bucket, Key=key, Range=f"bytes={3 * MIB}-") == ("InvalidRange", 416)
        assert body_of(s3.get_object(Bucket=bucket, Key=key, Range="bytes=9-1")) == content


def test_conditions(s3: Any, bucket: str) -> None:
    etag = s3.put_object(Bucket=bucket, Key="k", Body=b"one", IfNoneMatch="*")["ETag"]
    assert refused(s3.put_object, Bucket=bucket, Key="k", Body=b"two", IfNoneMatch="*") == ("PreconditionFailed", 412)
    assert refused(s3.put_object, Bucket=bucket, Key="k", Body=b"two", IfMatch='"x"') == ("PreconditionFailed", 412)
    assert refused(s3.put_object, Bucket=bucket, Key="none", Body=b"two", IfMatch='"x"') == ("NoSuchKey", 404)
    assert body_of(s3.get_object(Bucket=bucket, Key="k", IfMatch=etag)) == b"one"
    assert refused(s3.get_object, Bucket=bucket, Key="k", IfMatch='"x"') == ("PreconditionFailed", 412)
    assert refused(s3.get_object, Bucket=bucket, Key="k", IfNoneMatch=etag)[1] == 304
    later = datetime.now(UTC) + timedelta(days=1)
    assert refused(s3.head_object, Bucket=bucket, Key="k", IfModifiedSince=later)[1] == 304
    assert refused(s3.get_object, Bucket=bucket, Key="k", IfUnmodifiedSince=later - timedelta(days=9))[1] == 412
    s3.put_object(Bucket=bucket, Key="k", Body=b"two", IfMatch=etag)
    assert refused(s3.delete_object, Bucket=bucket, Key="k", IfMatch=etag) == ("PreconditionFailed", 412)
    assert body_of(s3.get_object(Bucket=bucket, Key="k")) == b"two"


@pytest.mark.parametrize(
    "key", ["a//b", "/lead", "trail/", "..", "../../etc/passwd", "a/./b", "ä 漢😀", "%2F%25", "a+b&c=d?e#f", "'\"<>\\"]
)
def test_keys_of_every_odd_character(s3: Any, bucket: str, key: str) -> None:
    s3.put_object(Bucket=bucket, Key=key, Body=key.encode())
    assert body_of(s3.get_object(Bucket=bucket, Key=key)) == key.encode()
    assert [each["Key"] for each in s3.list_objects_v2(Bucket=bucket)["Contents"]] == [key]
    s3.copy_object(Bucket=bucket, Key="copy", CopySource={"Bucket": bucket, "Key": key})
    assert body_of(s3.get_object(Bucket=bucket, Key="copy")) == key.encode()
    answer = s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": key}, {"Key": "copy"}]})
    assert {each["Key"] for each in answer["Deleted"]} == {key, "copy"}
    assert "Contents" not in s3.list_objects_v2(Bucket=bucket)


def test_a_key_that_is_too_long_is_refused(s3: Any, bucket: str) -> None:
    assert refused(s3.put_object, Bucket=bucket, Key="ä" * 513, Body=b"")[0] == "KeyTooLongError"
    s3.put_object(Bucket=bucket, Key="ä" * 512, Body=b"")


def test_what_is_not_there(s3: Any, bucket: str) -> None:
    assert refused(s3.get_object, Bucket=bucket, Key="none") == ("NoSuchKey", 404)
    assert refused(s3.head_object, Bucket=bucket, Key="none") == ("404", 404)
    assert refused(s3.get_object, Bucket="no-such-bucket", Key="k") == ("NoSuchBucket", 404)
    assert refused(s3.head_bucket, Bucket="no-such-bucket") == ("404", 404)
    assert s3.delete_object(Bucket=bucket, Key="none")["ResponseMetadata"]["HTTPStatusCode"] == 204


def test_copies(s3: Any, bucket: str) -> None:
    for content in (b"small", patterned(MIB)):
        s3.put_object(Bucket=bucket, Key="a", Body=content, Metadata={"m": "1"}, Tagging="t=1")
        s3.copy_object(Bucket=bucket, Key="b", CopySource=f"{bucket}/a")
        s3.delete_object(Bucket=bucket, Key="a")
        got = s3.get_object(Bucket=bucket, Key="b")
        assert (body_of(got), got["Metadata"], got["TagCount"]) == (content, {"m": "1"}, 1)
        s3.copy_object(
            Bucket=bucket, Key="b", CopySource=f"{bucket}/b", MetadataDirective="REPLACE", Metadata={"n": "2"},
            ContentType="text/plain", TaggingDirective="REPLACE", Tagging="u=2", ChecksumAlgorithm="SHA256",
        )  # fmt: skip
        got = s3.get_object(Bucket=bucket, Key="b", ChecksumMode="ENABLED")
        assert (body_of(got), got["Metadata"], got["ContentType"]) == (content, {"n": "2"}, "text/plain")
        assert got["ChecksumSHA256"] == base64.b64encode(hashlib.sha256(content).digest()).decode()
        assert s3.get_object_tagging(Bucket=bucket, Key="b")["TagSet"] == [{"Key": "u", "Value": "2"}]
    assert refused(s3.copy_object, Bucket=bucket, Key="b", CopySource=f"{bucket}/b")[0] == "InvalidRequest"
    assert refused(s3.copy_object, Bucket=bucket, Key="c", CopySource=f"{bucket}/none")[0] == "NoSuchKey"
    assert refused(s3.copy_object, Bucket=bucket, Key="c", CopySource=f"{bucket}/b", CopySourceIfMatch="x")[1] == 412


# ---- what clients send wrongly


def test_wrong_checksums_store_nothing(s3: Any, bucket: str) -> None:
    for size in (10, 100_000):
        content = patterned(size)
        wrong = base64.b64encode(bytes(4)).decode()
        assert refused(s3.put_object, Bucket=bucket, Key="k", Body=content, ChecksumCRC32=wrong)[0] == "BadDigest"
        md5 = base64.b64encode(bytes(16)).decode()
        assert refused(s3.put_object, Bucket=bucket, Key="k", Body=content, ContentMD5=md5)[0] == "BadDigest"
        assert refused(s3.put_object, Bucket=bucket, Key="k", Body=content, ContentMD5="?")[0] == "InvalidDigest"
        assert (
            refused(s3.put_object, Bucket=bucket, Key="k", Body=content, ChecksumSHA256="AAAA")[0] == "InvalidRequest"
        )
    assert "Contents" not in s3.list_objects_v2(Bucket=bucket)


@pytest.mark.parametrize("algorithm", ["CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256"])
def test_checksums_of_every_kind(s3: Any, bucket: str, algorithm: str) -> None:
    put = s3.put_object(Bucket=bucket, Key="k", Body=io.BytesIO(patterned(70_000)), ChecksumAlgorithm=algorithm)
    got = s3.get_object(Bucket=bucket, Key="k", ChecksumMode="ENABLED")
    assert got[f"Checksum{algorithm}"] == put[f"Checksum{algorithm}"]
    assert got["ChecksumType"] == "FULL_OBJECT"
    assert body_of(got) == patterned(70_000)


def test_aws_chunked_bodies_and_their_trailers(server: RunningServer, s3: Any, bucket: str) -> None:
    crc = base64.b64encode(zlib.crc32(b"hello!").to_bytes(4, "big")).decode()
    kind = {"x_amz_content_sha256": "STREAMING-UNSIGNED-PAYLOAD-TRAILER", "x_amz_trailer": "x-amz-checksum-crc32"}
    kind |= {"content_encoding": "aws-chunked,gzip", "x_amz_decoded_content_length": "6"}

    def put(trailer: str, **more: str) -> tuple[int, bytes]:
        body = f"6\r\nhello!\r\n0\r\nx-amz-checksum-crc32:{trailer}\r\n\r\n".encode()
        return raw(server, "PUT", f"/{bucket}/k", body, **(kind | more))[:2]

    assert put(crc)[0] == 200
    got = s3.get_object(Bucket=bucket, Key="k", ChecksumMode="ENABLED")
    assert (body_of(got), got["ContentEncoding"], got["ChecksumCRC32"]) == (b"hello!", "gzip", crc)
    status, answer = put("AAAAAA==")
    assert (status, b"BadDigest" in answer) == (400, True)
    status, answer = put(crc, x_amz_decoded_content_length="7")
    assert (status, b"IncompleteBody" in answer) == (400, True)
    assert body_of(s3.get_object(Bucket=bucket, Key="k")) == b"hello!"


def test_a_truncated_upload_leaves_nothing(server: RunningServer, s3: Any, bucket: str) -> None:
    url = urlsplit(server.endpoint)
    before = stored_files(server)
    for size in (1_000, MIB):
        connection = http.client.HTTPConnection(url.hostname or "", url.port, timeout=30)
        connection.putrequest("PUT", f"/{bucket}/k")
        connection.putheader("Content-Length", str(size))
        connection.putheader("Authorization", "AWS test:x")
        connection.endheaders()
        connection.send(b"x" * (size // 2))
        connection.close()
    assert refused(s3.get_object, Bucket=bucket, Key="k")[0] == "NoSuchKey"
    s3.put_object(Bucket=bucket, Key="k", Body=b"x" * MIB)
    s3.delete_object(Bucket=bucket, Key="k")
    wait_for(lambda: stored_files(server) == before)


def wait_for(true: Any) -> None:
    deadline = datetime.now(UTC) + timedelta(seconds=20)
    while not true():
        assert datetime.now(UTC) < deadline
        urllib.request.getproxies()


def stored_files(server: RunningServer) -> int:
    return sum(1 for path in (server.data_dir / "server" / "objects").rglob("*") if path.is_file())


def test_content_md5_of_documents_is_checked(server: RunningServer, bucket: str) -> None:
    body = b"<Delete><Object><Key>a</Key></Object></Delete>"
    status, answer, _ = raw(server, "POST", f"/{bucket}?delete", body, content_md5="AAAAAAAAAAAAAAAAAAAAAA==")
    assert (status, b"BadDigest" in answer) == (400, True)
    status, answer, _ = raw(server, "POST", f"/{bucket}?delete", body, x_amz_checksum_crc32="AAAAAA==")
    assert (status, b"BadDigest" in answer) == (400, True)


def test_expect_100_continue(server: RunningServer, s3: Any, bucket: str) -> None:
    assert raw(server, "PUT", f"/{bucket}/k", b"x" * 100_000, expect="100-continue")[0] == 200
    assert s3.head_object(Bucket=bucket, Key="k")["ContentLength"] == 100_000


def test_a_body_without_a_length_is_refused(server: RunningServer, bucket: str) -> None:
    url = urlsplit(server.endpoint)
    connection = http.client.HTTPConnection(url.hostname or "", url.port, timeout=30)
    fields = {"Authorization": "AWS test:x"}
    connection.request("PUT", f"/{bucket}/k", body=iter([b"x"]), headers=fields, encode_chunked=True)
    assert connection.getresponse().status == 411
    connection.close()


# ---- lists


def test_lists_roll_up_prefixes_and_go_on(s3: Any, bucket: str) -> None:
    keys = ["a", "b/1", "b/2", "c/d/1", "c/e", "z"]
    for key in keys:
        s3.put_object(Bucket=bucket, Key=key, Body=b"x")
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 6
    for operation in ("list_objects", "list_objects_v2"):
        pages = s3.get_paginator(operation).paginate(Bucket=bucket, Delimiter="/", PaginationConfig={"PageSize": 1})
        found = [
            each.get("Key") or each.get("Prefix")
            for page in pages
            for each in [*page.get("Contents", ()), *page.get("CommonPrefixes", ())]
        ]
        assert found == ["a", "b/", "c/", "z"]
    inner = s3.list_objects_v2(Bucket=bucket, Prefix="c/", Delimiter="/")
    assert [each["Key"] for each in inner["Contents"]] == ["c/e"]
    assert inner["CommonPrefixes"] == [{"Prefix": "c/d/"}]
    after = s3.list_objects_v2(Bucket=bucket, StartAfter="b/2", MaxKeys=2)
    assert ([each["Key"] for each in after["Contents"]], after["IsTruncated"]) == (["c/d/1", "c/e"], True)
    assert s3.list_objects_v2(Bucket=bucket, MaxKeys=0)["IsTruncated"] is False
    assert refused(s3.list_objects_v2, Bucket=bucket, ContinuationToken="?")[0] == "InvalidArgument"


# ---- versions


def test_versions(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=b"zero")
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    assert s3.get_bucket_versioning(Bucket=bucket)["Status"] == "Enabled"
    ids = [s3.put_object(Bucket=bucket, Key="k", Body=each)["VersionId"] for each in (b"one", b"two")]
    assert body_of(s3.get_object(Bucket=bucket, Key="k")) == b"two"
    assert body_of(s3.get_object(Bucket=bucket, Key="k", VersionId=ids[0])) == b"one"
    assert body_of(s3.get_object(Bucket=bucket, Key="k", VersionId="null")) == b"zero"
    marker = s3.delete_object(Bucket=bucket, Key="k")
    assert marker["DeleteMarker"] is True
    assert refused(s3.get_object, Bucket=bucket, Key="k") == ("NoSuchKey", 404)
    assert refused(s3.get_object, Bucket=bucket, Key="k", VersionId=marker["VersionId"]) == ("MethodNotAllowed", 405)
    listed = s3.list_object_versions(Bucket=bucket)
    assert [(each["VersionId"], each["IsLatest"]) for each in listed["Versions"]] == [
        (ids[1], False), (ids[0], False), ("null", False),
    ]  # fmt: skip
    assert [each["IsLatest"] for each in listed["DeleteMarkers"]] == [True]
    pages = s3.get_paginator("list_object_versions").paginate(Bucket=bucket, PaginationConfig={"PageSize": 1})
    assert [each["VersionId"] for page in pages for each in page.get("Versions", ())] == [ids[1], ids[0], "null"]
    s3.delete_object(Bucket=bucket, Key="k", VersionId=marker["VersionId"])
    assert body_of(s3.get_object(Bucket=bucket, Key="k")) == b"two"
    s3.delete_object(Bucket=bucket, Key="k", VersionId=ids[1])
    assert body_of(s3.get_object(Bucket=bucket, Key="k")) == b"one"
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Suspended"})
    assert s3.put_object(Bucket=bucket, Key="k", Body=b"null again")["VersionId"] == "null"
    assert body_of(s3.get_object(Bucket=bucket, Key="k", VersionId=ids[0])) == b"one"
    assert [each["VersionId"] for each in s3.list_object_versions(Bucket=bucket)["Versions"]] == ["null", ids[0]]
    assert refused(s3.get_object, Bucket=bucket, Key="k", VersionId="x")[0] == "NoSuchVersion"
    assert refused(s3.delete_bucket, Bucket=bucket) == ("BucketNotEmpty", 409)


# ---- multipart


def parts_of(s3: Any, bucket: str, upload: str, contents: list[bytes], key: str = "k") -> list[dict[str, Any]]:
    return [
        {
            "PartNumber": number,
            "ETag": s3.upload_part(Bucket=bucket, Key=key, UploadId=upload, PartNumber=number, Body=each)["ETag"],
        }
        for number, each in enumerate(contents, 1)
    ]


def test_a_multipart_upload(server: RunningServer, s3: Any, bucket: str) -> None:
    upload = s3.create_multipart_upload(
        Bucket=bucket, Key="k", ContentType="video/mp4", Metadata={"m": "1"}, ChecksumAlgorithm="CRC32",
        ChecksumType="FULL_OBJECT",
    )["UploadId"]  # fmt: skip
    contents = [patterned(5 * MIB), patterned(5 * MIB + 1), b"the end"]
    parts = parts_of(s3, bucket, upload, contents)
    s3.upload_part(Bucket=bucket, Key="k", UploadId=upload, PartNumber=9, Body=b"never named")
    assert [each["PartNumber"] for each in s3.list_parts(Bucket=bucket, Key="k", UploadId=upload)["Parts"]] == [
        1,
        2,
        3,
        9,
    ]
    assert [each["UploadId"] for each in s3.list_multipart_uploads(Bucket=bucket)["Uploads"]] == [upload]
    complete = {"Bucket": bucket, "Key": "k", "UploadId": upload}
    assert (
        refused(s3.complete_multipart_upload, **complete, MultipartUpload={"Parts": parts[::-1]})[0]
        == "InvalidPartOrder"
    )
    wrong = [*parts[:2], {"PartNumber": 4, "ETag": parts[2]["ETag"]}]
    assert refused(s3.complete_multipart_upload, **complete, MultipartUpload={"Parts": wrong})[0] == "InvalidPart"
    assert refused(s3.complete_multipart_upload, **complete, MultipartUpload={"Parts": []})[0] == "MalformedXML"
    done = s3.complete_multipart_upload(**complete, MultipartUpload={"Parts": parts})
    whole = b"".join(contents)
    digests = b"".join(hashlib.md5(each).digest() for each in contents)
    assert done["ETag"] == f'"{hashlib.md5(digests).hexdigest()}-3"'
    assert done["ChecksumCRC32"] == base64.b64encode(zlib.crc32(whole).to_bytes(4, "big")).decode()
    got = s3.get_object(Bucket=bucket, Key="k")
    assert (body_of(got), got["ContentType"], got["Metadata"]) == (whole, "video/mp4", {"m": "1"})
    edge = s3.get_object(Bucket=bucket, Key="k", Range=f"bytes={5 * MIB - 3}-{5 * MIB + 2}")
    assert body_of(edge) == whole[5 * MIB - 3 : 5 * MIB + 3]
    second = s3.get_object(Bucket=bucket, Key="k", PartNumber=2)
    assert (body_of(second), second["PartsCount"]) == (contents[1], 3)
    attributes = s3.get_object_attributes(Bucket=bucket, Key="k", ObjectAttributes=["ObjectParts", "ObjectSize"])
    assert (attributes["ObjectParts"]["TotalPartsCount"], attributes["ObjectSize"]) == (3, len(whole))
    assert refused(s3.list_parts, Bucket=bucket, Key="k", UploadId=upload)[0] == "NoSuchUpload"
    s3.delete_object(Bucket=bucket, Key="k")


def test_parts_that_are_too_small_or_copied(s3: Any, bucket: str) -> None:
    source = patterned(6 * MIB)
    s3.put_object(Bucket=bucket, Key="source", Body=source)
    upload = s3.create_multipart_upload(Bucket=bucket, Key="k")["UploadId"]
    parts = parts_of(s3, bucket, upload, [b"tiny", b"end"])
    call = {"Bucket": bucket, "Key": "k", "UploadId": upload}
    assert refused(s3.complete_multipart_upload, **call, MultipartUpload={"Parts": parts})[0] == "EntityTooSmall"
    copied = s3.upload_part_copy(**call, PartNumber=1, CopySource=f"{bucket}/source")["CopyPartResult"]
    piece = s3.upload_part_copy(**call, PartNumber=2, CopySource=f"{bucket}/source", CopySourceRange="bytes=10-19")
    parts = [
        {"PartNumber": 1, "ETag": copied["ETag"]},
        {"PartNumber": 2, "ETag": piece["CopyPartResult"]["ETag"]},
    ]
    s3.complete_multipart_upload(**call, MultipartUpload={"Parts": parts})
    assert body_of(s3.get_object(Bucket=bucket, Key="k")) == source + source[10:20]
    assert refused(s3.upload_part, **call, PartNumber=1, Body=b"")[0] == "NoSuchUpload"
    assert refused(s3.upload_part, **call, PartNumber=10_001, Body=b"")[0] == "InvalidArgument"


def test_an_aborted_upload_leaves_no_parts(server: RunningServer, s3: Any, bucket: str) -> None:
    before = stored_files(server)
    upload = s3.create_multipart_upload(Bucket=bucket, Key="k")["UploadId"]
    parts_of(s3, bucket, upload, [b"one", b"two"])
    assert stored_files(server) == before + 2
    s3.abort_multipart_upload(Bucket=bucket, Key="k", UploadId=upload)
    assert stored_files(server) == before
    assert refused(s3.abort_multipart_upload, Bucket=bucket, Key="k", UploadId=upload) == ("NoSuchUpload", 404)
    parts_of(s3, bucket, s3.create_multipart_upload(Bucket=bucket, Key="k")["UploadId"], [b"one"])
    s3.delete_bucket(Bucket=bucket)
    assert stored_files(server) == before


def test_a_large_file_by_the_transfer_manager(s3: Any, bucket: str) -> None:
    content = patterned(20 * MIB)
    s3.upload_fileobj(io.BytesIO(content), bucket, "k")
    target = io.BytesIO()
    s3.download_fileobj(bucket, "k", target)
    assert target.getvalue() == content


# ---- presigned URLs, host names


def fetch(url: str, data: bytes | None = None, method: str = "GET") -> bytes:
    with urllib.request.urlopen(urllib.request.Request(url, data=data, method=method), timeout=30) as answer:
        content: bytes = answer.read()
        return content


@pytest.mark.parametrize("signature", ["s3v4", "s3"])
def test_presigned_urls_work_until_they_expire(server: RunningServer, bucket: str, signature: str) -> None:
    s3 = server.client("s3", signature_version=signature)
    params = {"Bucket": bucket, "Key": "a b/ä"}
    fetch(s3.generate_presigned_url("put_object", Params=params), b"by url", "PUT")
    url = s3.generate_presigned_url("get_object", Params=params)
    assert fetch(url) == b"by url"
    old = re.sub(r"X-Amz-Date=\d{8}", "X-Amz-Date=20200101", re.sub(r"\bExpires=\d+", "Expires=1500000000", url))
    with pytest.raises(urllib.error.HTTPError) as caught:
        fetch(old)
    assert caught.value.code == 403
    assert b"Request has expired" in caught.value.read()


def test_a_bucket_in_the_host_name(server: RunningServer, s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="a/b", Body=b"by name")
    for host in (f"{bucket}.s3.localhost", f"{bucket}.localhost", f"{bucket}.s3.us-east-1.amazonaws.com"):
        assert raw(server, "GET", "/a/b", host=host)[:2] == (200, b"by name")
    assert raw(server, "HEAD", "/", host=f"{bucket}.s3.localhost")[0] == 200


# ---- buckets and their settings


def test_buckets(server: RunningServer, s3: Any, bucket: str) -> None:
    assert bucket in [each["Name"] for each in s3.list_buckets()["Buckets"]]
    assert s3.head_bucket(Bucket=bucket)["BucketRegion"] == "us-east-1"
    assert s3.get_bucket_location(Bucket=bucket)["LocationConstraint"] is None
    s3.create_bucket(Bucket=bucket)
    other = server.client("s3", account="111122223333", region="eu-west-1")
    there = {"LocationConstraint": "eu-west-1"}
    assert refused(other.create_bucket, Bucket=bucket, CreateBucketConfiguration=there)[0] == "BucketAlreadyExists"
    assert refused(other.get_object, Bucket=bucket, Key="k") == ("AccessDenied", 403)
    assert other.list_buckets()["Buckets"] == []
    mine = bucket + "-eu"
    assert refused(other.create_bucket, Bucket=mine)[0] == "IllegalLocationConstraintException"
    other.create_bucket(Bucket=mine, CreateBucketConfiguration=there)
    assert refused(other.create_bucket, Bucket=mine, CreateBucketConfiguration=there)[0] == "BucketAlreadyOwnedByYou"
    assert other.get_bucket_location(Bucket=mine)["LocationConstraint"] == "eu-west-1"
    other.delete_bucket(Bucket=mine)
    assert refused(s3.head_object, Bucket=bucket, Key="k", ExpectedBucketOwner="999999999999")[1] == 403
    for bad in ("ab", "Upper", "1.2.3.4", "a..b", "xn--a"):
        status, answer, _ = raw(server, "PUT", f"/{bad}")
        assert (status, b"InvalidBucketName" in answer) == (400, True)


def test_settings_come_back_and_go(s3: Any, bucket: str) -> None:
    tags = {"TagSet": [{"Key": "k", "Value": "v"}]}
    cors = {"CORSRules": [{"AllowedMethods": ["GET"], "AllowedOrigins": ["https://a.example"], "MaxAgeSeconds": 5}]}
    wild = {"CORSRules": [{"AllowedMethods": ["GET"], "AllowedOrigins": ["https://*.*"]}]}
    block = dict.fromkeys(("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets"), True)
    policy = (
        '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"s3:GetObject",'
        f'"Resource":"arn:aws:s3:::{bucket}/*"}}]}}'
    )
    assert refused(s3.get_bucket_tagging, Bucket=bucket) == ("NoSuchTagSet", 404)
    s3.put_bucket_tagging(Bucket=bucket, Tagging=tags)
    assert s3.get_bucket_tagging(Bucket=bucket)["TagSet"] == tags["TagSet"]
    s3.delete_bucket_tagging(Bucket=bucket)
    assert refused(s3.get_bucket_cors, Bucket=bucket) == ("NoSuchCORSConfiguration", 404)
    assert refused(s3.put_bucket_cors, Bucket=bucket, CORSConfiguration=wild)[0] == "InvalidRequest"
    s3.put_bucket_cors(Bucket=bucket, CORSConfiguration=cors)
    assert s3.get_bucket_cors(Bucket=bucket)["CORSRules"] == cors["CORSRules"]
    s3.delete_bucket_cors(Bucket=bucket)
    assert refused(s3.get_bucket_cors, Bucket=bucket)[0] == "NoSuchCORSConfiguration"
    assert s3.get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"] == block
    assert refused(s3.put_bucket_policy, Bucket=bucket, Policy="{}")[0] == "MalformedPolicy"
    assert refused(s3.put_bucket_policy, Bucket=bucket, Policy=policy) == ("AccessDenied", 403)
    s3.delete_public_access_block(Bucket=bucket)
    assert refused(s3.get_public_access_block, Bucket=bucket)[0] == "NoSuchPublicAccessBlockConfiguration"
    s3.put_public_access_block(Bucket=bucket, PublicAccessBlockConfiguration={"BlockPublicAcls": True})
    assert s3.get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"]["BlockPublicPolicy"] is False
    s3.put_bucket_policy(Bucket=bucket, Policy=policy)
    assert s3.get_bucket_policy(Bucket=bucket)["Policy"] == policy
    assert s3.get_bucket_policy_status(Bucket=bucket)["PolicyStatus"]["IsPublic"] is True
    s3.delete_bucket_policy(Bucket=bucket)
    assert refused(s3.get_bucket_policy, Bucket=bucket) == ("NoSuchBucketPolicy", 404)
    rules = s3.get_bucket_encryption(Bucket=bucket)["ServerSideEncryptionConfiguration"]["Rules"]
    assert rules[0]["ApplyServerSideEncryptionByDefault"]["SSEAlgorithm"] == "AES256"
    rules = s3.get_bucket_ownership_controls(Bucket=bucket)["OwnershipControls"]["Rules"]
    assert rules == [{"ObjectOwnership": "BucketOwnerEnforced"}]
    s3.delete_bucket_ownership_controls(Bucket=bucket)
    assert refused(s3.get_bucket_ownership_controls, Bucket=bucket) == ("OwnershipControlsNotFoundError", 404)
    assert refused(s3.get_bucket_website, Bucket=bucket)[0] == "NoSuchWebsiteConfiguration"
    assert s3.get_bucket_acl(Bucket=bucket)["Grants"][0]["Permission"] == "FULL_CONTROL"
    assert refused(s3.put_bucket_acl, Bucket=bucket, ACL="public-read")[0] == "AccessControlListNotSupported"


def test_tags_of_objects(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=b"", Tagging="a=b")
    s3.put_object_tagging(Bucket=bucket, Key="k", Tagging={"TagSet": [{"Key": "x", "Value": "y z"}]})
    assert s3.get_object_tagging(Bucket=bucket, Key="k")["TagSet"] == [{"Key": "x", "Value": "y z"}]
    s3.delete_object_tagging(Bucket=bucket, Key="k")
    assert s3.get_object_tagging(Bucket=bucket, Key="k")["TagSet"] == []
    many = {"TagSet": [{"Key": str(number), "Value": ""} for number in range(11)]}
    assert refused(s3.put_object_tagging, Bucket=bucket, Key="k", Tagging=many)[0] == "BadRequest"
    assert refused(s3.get_object_tagging, Bucket=bucket, Key="none")[0] == "NoSuchKey"


def test_what_is_not_honoured_is_refused_by_name(s3: Any, bucket: str) -> None:
    for more in ({"StorageClass": "GLACIER"}, {"SSEKMSKeyId": "k"}, {"ObjectLockLegalHoldStatus": "ON"}):
        with pytest.raises(ClientError, match=next(iter(more))) as caught:
            s3.put_object(Bucket=bucket, Key="k", Body=b"", **more)
        assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 501


# ---- kill -9


@pytest.fixture
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    with RunningServer(tmp_path_factory.mktemp("paddock")) as running:
        yield running


def test_kill_9_loses_no_acknowledged_object_and_shows_no_half_one(own: RunningServer) -> None:
    """Writers of small and large objects, a kill in the middle: what was answered is there, whole; nothing else is."""
    own.client("s3").create_bucket(Bucket="held")
    acknowledged: dict[str, int] = {}
    enough = threading.Event()

    def write(number: int) -> None:
        s3 = own.client("s3")
        for turn in range(10_000):
            size = 700 + turn if number % 2 else 300_000 + turn
            try:
                s3.put_object(Bucket="held", Key=f"{number}/{turn}", Body=patterned(size))
            except (BotoCoreError, ClientError):
                return
            acknowledged[f"{number}/{turn}"] = size
            if turn == 15:
                enough.set()

    threads = [threading.Thread(target=write, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    assert enough.wait(60)
    own.kill()
    for thread in threads:
        thread.join()
    own.start()
    s3 = own.client("s3")
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket="held")
    listed = {each["Key"]: each["Size"] for page in pages for each in page.get("Contents", ())}
    assert acknowledged.items() <= listed.items()
    for key, size in listed.items():
        assert body_of(s3.get_object(Bucket="held", Key=key)) == patterned(size)
    assert stored_files(own) == sum(1 for size in listed.values() if size > 32_768)


def test_functions_take_their_code_from_s3(server: RunningServer, s3: Any, bucket: str) -> None:
    """Create, update to an older version of the object, and a layer."""
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    source = "def handler(event, context): return {}"
    old, new = (
        s3.put_object(Bucket=bucket, Key="code.zip", Body=zipped({"app.py": source.format(answer)}))["VersionId"]
        for answer in ("'old'", "'new'")
    )
    client = server.client("lambda")
    client.create_function(
        FunctionName="from-s3", Runtime=default_runtime(), Handler="app.handler", Role=ROLE,
        Code={"S3Bucket": bucket, "S3Key": "code.zip"},
    )  # fmt: skip
    client.get_waiter("function_active_v2").wait(FunctionName="from-s3")
    assert server.invoke("from-s3")[0] == "new"
    client.update_function_code(FunctionName="from-s3", S3Bucket=bucket, S3Key="code.zip", S3ObjectVersion=old)
    client.get_waiter("function_updated_v2").wait(FunctionName="from-s3")
    assert server.invoke("from-s3")[0] == "old"
    assert old != new
    layer = client.publish_layer_version(LayerName="from-s3", Content={"S3Bucket": bucket, "S3Key": "code.zip"})
    assert layer["Content"]["CodeSize"] == len(zipped({"app.py": source.format("'new'")}))
    with pytest.raises(ClientError, match="S3 Error Code: NoSuchKey"):
        client.update_function_code(FunctionName="from-s3", S3Bucket=bucket, S3Key="none.zip")
