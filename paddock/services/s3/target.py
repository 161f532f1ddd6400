"""Buckets as destinations: the record of an event that failed becomes an object."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from paddock.interfaces import Ids, TargetRefused
from paddock.model.caller import Caller
from paddock.model.delivery import TargetEvent
from paddock.model.errors import ClientError
from paddock.services.s3.desk import Desk
from paddock.services.s3.nouns import Bucket
from paddock.services.s3.objects import put_object
from paddock.services.service import Call
from paddock.wire.http1_request import IncomingRequest
from paddock.wire.messages import Headers, Request
from paddock.wire.streamed import StreamedBody

KEY = "ObjectKey"
"""The attribute of an event that names its object; without it nothing can be put into a bucket."""


class BucketTarget:
    """`send` and `check`, for the table of targets."""

    def __init__(self, desk: Desk, ids: Ids) -> None:
        self._desk = desk
        self._ids = ids

    def check(self, event: TargetEvent) -> None:
        self._bucket(event)

    async def send(self, event: TargetEvent) -> None:
        """Put the event's body under its key. Sent twice, it is the same object. Raises TargetRefused."""
        bucket = self._bucket(event)
        key = event.attributes.get(KEY)
        if not key:
            raise TargetRefused("InvalidParameterValue", "Paddock puts records of failed events into buckets only.")
        call = Call(
            caller=Caller(account=event.source_account, region=bucket.region),
            request_id=self._ids.uuid(),
            params=_params(bucket, key, event.body),
            trace_id=event.attributes.get("AWSTraceHeader", ""),
            source_ip=event.principal,
            operation="PutObject",
        )
        try:
            await put_object(self._desk, call)
        except ClientError as error:
            raise TargetRefused(error.code, error.message) from error

    def _bucket(self, event: TargetEvent) -> Bucket:
        """The bucket, to which the sender's account (or, by its policy, another) has access."""
        found = self._desk.buckets.get(event.target_arn.rpartition(":")[2])
        if found is None:
            raise TargetRefused("NoSuchBucket", "The specified bucket does not exist")
        return found


def _params(bucket: Bucket, key: str, body: bytes) -> Mapping[str, Any]:
    request = Request(method="PUT", path="/", headers=Headers(), body=body)
    streamed = StreamedBody(IncomingRequest.of(request))
    return {"Bucket": bucket.name, "Key": key, "Body": streamed, "ContentType": "application/json"}
