"""Objects for other services: interfaces.ObjectReader over S3's desk."""

from __future__ import annotations

from paddock.interfaces import Tx
from paddock.model.errors import ClientError
from paddock.services.s3 import shelf
from paddock.services.s3.desk import Desk
from paddock.services.s3.errors import access_denied, no_such_bucket, no_such_key
from paddock.services.s3.nouns import Version, segments_from
from paddock.services.s3.reading import Span, slices_of


class ObjectReader:
    """Reads whole objects into memory, for callers that have to have them there."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def read(self, account: str, bucket: str, key: str, version_id: str, bytes_max: int) -> bytes:
        found = self._desk.buckets.get(bucket)
        if found is None:
            raise no_such_bucket(bucket)
        if found.account != account:
            raise access_denied()

        def look(tx: Tx) -> tuple[Version, bytes | None, str | None]:
            version = shelf.find(tx, bucket, key, version_id or None)
            if version.marker:
                raise no_such_key(key)
            row = tx.row("s3_content_get", id=version.content)
            return version, row["bytes"] if row else None, row["segments"] if row else None

        version, inline, segments = await self._desk.store.read(look)
        if version.size > bytes_max:
            raise ClientError(f"The object is larger than {bytes_max} bytes.", code="EntityTooLarge")
        if inline is not None:
            return inline
        try:
            reading = await self._desk.segments.read(slices_of(segments_from(segments), Span(0, version.size)))
        except FileNotFoundError:
            raise no_such_key(key) from None  # deleted or replaced since it was looked up
        return b"".join([piece async for piece in reading])
