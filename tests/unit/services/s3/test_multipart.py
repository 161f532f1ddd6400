"""Uploads of as many parts as there may be, and bodies whose framing is broken."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

from paddock.interfaces import Tx
from paddock.model.errors import ServiceError
from paddock.services.s3.nouns import dump
from paddock.wire import checksums
from paddock.wire.errors import WireError
from tests.unit.services.harness import refused
from tests.unit.services.s3.world import BUCKET, World, body, lived

PARTS = 10_000
SIZE = 5 << 20
ETAG = f'"{hashlib.md5(b"part").hexdigest()}"'


async def uploaded(world: World, key: str, parts: int) -> str:
    """An upload with so many parts, whose bytes nobody stored: their rows are what is listed and completed."""
    made = await world.client("CreateMultipartUpload", Bucket=BUCKET, Key=key)
    upload: str = made["UploadId"]
    whole = checksums.new("CRC64NVME")
    whole.update(b"part")
    sums = dump({"CRC64NVME": checksums.encoded(whole.digest())})

    def work(tx: Tx) -> None:
        for number in range(1, parts + 1):
            tx.run(
                "s3_part_put", upload=upload, number=number, size=SIZE, etag=ETAG, modified_ms=0,
                segment=f"{number:032x}", checksums=sums,
            )  # fmt: skip

    await world.store.write(work)
    return upload


@lived
async def test_ten_thousand_parts_are_listed_and_completed(world: World) -> None:
    upload = await uploaded(world, "k", PARTS)
    named: dict[str, Any] = {"Bucket": BUCKET, "Key": "k", "UploadId": upload}
    found, marker = [], 0
    while True:
        page = await world.client("ListParts", **named, PartNumberMarker=marker)
        found += [each["PartNumber"] for each in page["Parts"]]
        if not page["IsTruncated"]:
            break
        assert len(page["Parts"]) == 1_000
        marker = page["NextPartNumberMarker"]
    assert found == list(range(1, PARTS + 1))
    entries = [{"PartNumber": number, "ETag": ETAG} for number in found]
    missing = {"Parts": [*entries[:-1], {"PartNumber": PARTS, "ETag": '"other"'}]}
    assert (await refused(world.client, "CompleteMultipartUpload", **named, MultipartUpload=missing))[
        0
    ] == "InvalidPart"
    more = {"Parts": [*entries, {"PartNumber": PARTS + 1, "ETag": ETAG}]}
    assert (await refused(world.client, "CompleteMultipartUpload", **named, MultipartUpload=more))[0] == "MalformedXML"
    done = await world.client("CompleteMultipartUpload", **named, MultipartUpload={"Parts": entries})
    assert done["ETag"].endswith(f'-{PARTS}"')
    head = await world.call("HeadObject", Bucket=BUCKET, Key="k", PartNumber=PARTS)
    assert (head["ContentLength"], head["PartsCount"]) == (SIZE, PARTS)
    assert head["ContentRange"] == f"bytes {SIZE * (PARTS - 1)}-{SIZE * PARTS - 1}/{SIZE * PARTS}"
    assert (await refused(world.client, "ListParts", **named))[0] == "NoSuchUpload"


@pytest.mark.parametrize(
    ("framed", "code"),
    [
        (b"5\r\nhello\r\n0\r\n\r\n", ""),
        (b"", "IncompleteBody"),
        (b"5\r\nhello", "IncompleteBody"),
        (b"5\r\nhello\r\n", "IncompleteBody"),
        (b"5\r\nhello!\r\n0\r\n\r\n", "IncompleteBody"),
        (b"4\r\nhell\r\n0\r\n\r\n", "IncompleteBody"),
        (b"6\r\nhello!\r\n0\r\n\r\n", "IncompleteBody"),
        (b"zz\r\nhello\r\n0\r\n\r\n", "IncompleteBody"),
        (b"-5\r\nhello\r\n0\r\n\r\n", "IncompleteBody"),
        (b"5" + b";x" * 3_000 + b"\r\nhello\r\n0\r\n\r\n", "IncompleteBody"),
        (b"5\r\nhello\r\n0\r\nno colon\r\n\r\n", "MalformedTrailerError"),
        (b"5\r\nhello\r\n0\r\n" + b"a:b\r\n" * 17, "IncompleteBody"),
        (b"5\r\nhello\r\n0\r\n\r\nmore", "IncompleteBody"),
    ],
)
@lived
async def test_broken_framing_stores_nothing(world: World, framed: bytes, code: str) -> None:
    kind = {"content_encoding": "aws-chunked", "x_amz_content_sha256": "STREAMING-UNSIGNED-PAYLOAD-TRAILER"}
    streamed = body(framed, x_amz_decoded_content_length="5", **kind)
    try:
        await world.call("PutObject", Bucket=BUCKET, Key="k", Body=streamed)
        found = ""
    except (WireError, ServiceError) as error:
        found = error.code
    assert found == code
    assert await world.keys(BUCKET) == ([] if code else ["k"])


@pytest.mark.parametrize("key", ["../../etc/passwd", "..", ".", "/", "//", "a/../b", "\n\t", "\x7f", "💥" * 256, "%00"])
@lived
async def test_no_key_is_a_path(world: World, key: str) -> None:
    """Bytes lie under random names only, whatever a key looks like."""
    await world.put(BUCKET, key, b"x" * 40_000)
    assert await world.keys(BUCKET) == [key]
    (name,) = await world.segments.names()
    assert len(name) == 32
    await world.client("DeleteObject", Bucket=BUCKET, Key=key)
    assert await world.segments.names() == []
