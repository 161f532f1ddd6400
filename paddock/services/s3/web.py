"""What browsers ask of buckets besides S3's operations: preflights of CORS, and uploads by forms."""

from __future__ import annotations

from paddock.services.s3 import cors, forms
from paddock.services.s3.cors import Fields
from paddock.services.s3.desk import Desk
from paddock.services.s3.errors import no_such_bucket
from paddock.services.service import Call
from paddock.wire.form_data import FormData
from paddock.wire.messages import Request, Response
from paddock.wire.router import decode_segment


class Web:
    """front.pages.Site over S3's desk. Paths are in path style: /bucket/key."""

    service = "s3"

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def has(self, path: str) -> bool:
        return _names(path)[0] in self._desk.buckets

    def takes_forms(self, path: str) -> bool:
        """At a bucket, not at a key."""
        return self.has(path) and not _names(path)[1]

    async def post(self, call: Call, path: str, form: FormData) -> Response:
        return await forms.post(self._desk, call, _names(path)[0], form)

    def preflight(self, request: Request) -> Fields:
        """Raises as cors.preflight; NoSuchBucket."""
        name, key = _names(request.path)
        if name not in self._desk.buckets:
            raise no_such_bucket(name)
        return cors.preflight(
            self._desk.buckets[name].settings.get("cors"),
            request.headers.get("origin"),
            request.headers.get("access-control-request-method"),
            request.headers.get("access-control-request-headers"),
            "OBJECT" if key else "BUCKET",
        )

    def shared(self, request: Request) -> Fields | None:
        """What the answer to a page tells its browser; None when no rule lets the page in."""
        bucket = self._desk.buckets.get(_names(request.path)[0])
        origin = request.headers.get("origin")
        rule = cors.fitting(bucket.settings.get("cors") or (), origin, request.method) if bucket else None
        return cors.answer(rule, origin) if rule else None


def _names(path: str) -> tuple[str, str]:
    """(bucket, key as it stands) of a path."""
    name, _, key = path.removeprefix("/").partition("/")
    return decode_segment(name), key
