"""Tags of objects."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from paddock.interfaces import Tx
from paddock.services.s3 import shelf, view
from paddock.services.s3.desk import Desk
from paddock.services.s3.errors import no_such_key
from paddock.services.s3.nouns import Version, dump
from paddock.services.service import Call


async def get_object_tagging(desk: Desk, call: Call) -> dict[str, Any]:
    bucket, key = desk.bucket_of(call), view.key_of(call.params)
    version = await desk.store.read(lambda tx: _tagged(tx, bucket.name, key, call.params.get("VersionId")))
    return view.with_version(bucket, version, {"TagSet": view.tag_set(version.tags)})


async def put_object_tagging(desk: Desk, call: Call) -> dict[str, Any]:
    tags = view.tags_of_set(call.params["Tagging"]["TagSet"], view.TAGS_MAX)
    return await _tag(desk, call, tags, "ObjectTagging:Put")


async def delete_object_tagging(desk: Desk, call: Call) -> dict[str, Any]:
    return await _tag(desk, call, {}, "ObjectTagging:Delete")


async def _tag(desk: Desk, call: Call, tags: Mapping[str, str], event: str) -> dict[str, Any]:
    bucket, key = desk.bucket_of(call), view.key_of(call.params)

    def work(tx: Tx) -> Version:
        version = _tagged(tx, bucket.name, key, call.params.get("VersionId"))
        tx.run("s3_object_tag", bucket=bucket.name, key=key, seq=version.seq, tags=dump(tags))
        desk.announce(tx, bucket, event, version, call)
        return version

    version = await desk.write(work)
    return view.with_version(bucket, version, {})


def _tagged(tx: Tx, bucket: str, key: str, version_id: str | None) -> Version:
    """Raises NoSuchKey for a delete marker too."""
    version = shelf.find(tx, bucket, key, version_id)
    if version.marker:
        raise no_such_key(key)
    return version
