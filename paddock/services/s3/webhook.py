"""Notifications of an S3 store that stands outside (MinIO, Ceph and their kin), taken in by POST.

    POST /_paddock/s3-events          Authorization: Bearer <the configured token>
    {"Records": [{"eventName": "s3:ObjectCreated:Put", "s3": {"bucket": {"name": "in"}, "object": {"key": "a+b"}}}]}

A bucket of Paddock stands for the outer one of the same name: its notification configuration says which functions,
queues and topics get the event, by the same filters and under the same policies. Nothing need lie in it. What is
answered with 200 is durable, each record on its own as S3 sends them.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import unquote_plus

import msgspec

from paddock.interfaces import Tx
from paddock.model.caller import Caller
from paddock.model.delivery import TargetEvent
from paddock.model.errors import ServiceError
from paddock.services.s3 import events
from paddock.services.s3.desk import Desk
from paddock.services.s3.nouns import Bucket
from paddock.services.service import Call
from paddock.wire.http1_request import BodyTooLarge, IncomingRequest
from paddock.wire.messages import Response

PATH = "/_paddock/s3-events"
BODY_BYTES_MAX = 1_048_576
RECORDS_MAX = 1_000


class Webhook:
    """`await webhook(incoming)`. token: "" lets nobody in."""

    def __init__(self, desk: Desk, token: str) -> None:
        self._desk = desk
        self._token = token

    async def __call__(self, incoming: IncomingRequest) -> Response:
        if not self._is_known(incoming.headers.get("authorization")):
            return _said(403, "The token of this server's webhook is missing or wrong, or none is configured.")
        try:
            body = await incoming.read(BODY_BYTES_MAX)
            records = _records(body)
        except BodyTooLarge:
            return _said(413, f"A notification has at most {BODY_BYTES_MAX} bytes.")
        except (msgspec.DecodeError, msgspec.ValidationError, ValueError) as error:
            return _said(400, f"This is no notification of S3: {error}")
        request_id = self._desk.ids.uuid()
        trace_id = incoming.headers.get("x-amzn-trace-id")
        sent = [event for record in records for event in self._events(record, request_id, trace_id)]

        def work(tx: Tx) -> None:
            for event in sent:
                self._desk.outbox(tx, event)

        try:
            await self._desk.write(work)
        except ServiceError as error:
            return _said(error.status, error.message)
        return _said(200, f"{len(records)} records, {len(sent)} events")

    def _is_known(self, authorization: str) -> bool:
        """MinIO sends the token behind Bearer, others alone."""
        given = authorization.removeprefix("Bearer ").strip()
        return bool(self._token) and hmac.compare_digest(given.encode(), self._token.encode())

    def _events(self, record: Mapping[str, Any], request_id: str, trace_id: str) -> Iterator[TargetEvent]:
        """What one record starts, by the rules of the bucket of its name."""
        bucket = self._desk.buckets.get(record["s3"]["bucket"]["name"])
        if bucket is None:
            return
        event = record["eventName"].removeprefix("s3:")
        key = unquote_plus(record["s3"]["object"]["key"])
        call = Call(
            caller=Caller(account=bucket.account, region=bucket.region),
            request_id=request_id,
            params={},
            trace_id=trace_id,
        )
        for kind, target in events.KINDS.items():
            for rule in (bucket.settings.get("notification") or {}).get(kind, ()):
                if events.meets(rule, event, key):
                    shown = _as_ours(record, bucket, event, rule["Id"])
                    yield events.event_for(bucket, rule[target], msgspec.json.encode({"Records": [shown]}), call)


def _as_ours(record: Mapping[str, Any], bucket: Bucket, event: str, rule_id: str) -> dict[str, Any]:
    """The record as S3 has it: what the store says of the object, and this bucket's rule."""
    about = dict(record["s3"])
    about["bucket"] = {**about["bucket"], "arn": bucket.arn}
    return {
        **record,
        "eventSource": "aws:s3",
        "awsRegion": record.get("awsRegion") or bucket.region,
        "eventName": event,
        "s3": {**about, "s3SchemaVersion": "1.0", "configurationId": rule_id},
    }


def _records(body: bytes) -> Sequence[Mapping[str, Any]]:
    """Raises ValueError and what msgspec raises."""
    document = msgspec.json.decode(body)
    records = document.get("Records") if isinstance(document, dict) else None
    if not isinstance(records, list) or len(records) > RECORDS_MAX:
        raise ValueError(f"it has no list of at most {RECORDS_MAX} Records")
    for record in records:
        try:
            named = (record["eventName"], record["s3"]["bucket"]["name"], record["s3"]["object"]["key"])
        except (KeyError, TypeError):
            raise ValueError("a record names no event, bucket or key") from None
        if not all(isinstance(name, str) for name in named):
            raise ValueError("a record's event, bucket or key is no text")
    return records


def _said(status: int, text: str) -> Response:
    return Response(status=status, headers=(("Content-Type", "text/plain; charset=utf-8"),), body=f"{text}\n".encode())
