"""A Lambda handler for S3's events: every picture that arrives gets a thumbnail of the same name in BUCKET."""

from __future__ import annotations

import io
import os
from typing import Any
from urllib.parse import unquote_plus

import boto3
from PIL import Image

WIDTH = 240
s3 = boto3.client("s3")


def handler(event: dict[str, Any], context: Any) -> None:
    for record in event["Records"]:
        bucket, key = record["s3"]["bucket"]["name"], unquote_plus(record["s3"]["object"]["key"])
        picture = Image.open(io.BytesIO(s3.get_object(Bucket=bucket, Key=key)["Body"].read()))
        before = picture.size
        picture.thumbnail((WIDTH, WIDTH))
        small = io.BytesIO()
        picture.save(small, "JPEG", quality=85)
        s3.put_object(Bucket=os.environ["BUCKET"], Key=key, Body=small.getvalue(), ContentType="image/jpeg")
        print(f"{key}: {before[0]}x{before[1]} -> {picture.width}x{picture.height}, {small.tell()} bytes")
