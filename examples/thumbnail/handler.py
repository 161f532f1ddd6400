"""A Lambda handler that makes thumbnails: {"image": base64 JPEG, "width": 240} -> {"thumbnail": base64 JPEG, ...}."""

from __future__ import annotations

import base64
import io
from typing import Any

from PIL import Image


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    picture = Image.open(io.BytesIO(base64.b64decode(event["image"])))
    before = picture.size
    width = int(event.get("width", 240))
    picture.thumbnail((width, width))
    small = io.BytesIO()
    picture.save(small, "JPEG", quality=85)
    print(f"{before[0]}x{before[1]} -> {picture.width}x{picture.height}, {small.tell()} bytes")
    return {
        "thumbnail": base64.b64encode(small.getvalue()).decode("ascii"),
        "width": picture.width,
        "height": picture.height,
        "request_id": context.aws_request_id,
    }
