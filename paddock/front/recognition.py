"""Heads that were understood before: what a request asks for, without asking the service model again.

Clients send the same few heads over and over, different only in date, signature and length. For a signed request of a
rest-json service everything but the raw body is told by method, path, query, the credential's scope, and those header
fields that some operation or the guard reads. So what the long way found is kept under exactly these, and the next
request that has the same ones means the same:

    POST | /2015-03-31/functions/f/invocations | host: ... | x-amz-log-type: Tail | Credential=.../lambda/aws4_request
    -> Lambda's Invoke, {FunctionName: f, LogType: Tail}, its caller

Only what passed every check is kept, and nothing whose meaning a body could change: of rest-json operations with a
document as their body, with text or a stream as their payload, and of requests that are not signed in the header, all
go the long way each time. Of a json service, the head tells the operation, and the document is parsed and checked anew.
What is kept says what was asked, never whether a signature is right.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from paddock.model.caller import Caller
from paddock.services.service import Operation
from paddock.wire.http1 import IncomingRequest
from paddock.wire.service import Plan, ServiceModel

HEADS_MAX = 4096
HEAD_CHARS_MAX = 2048

_ALWAYS = frozenset({"host", "origin", "sec-fetch-site", "x-amz-target", "x-amz-security-token"})
_SCHEME = "AWS4-HMAC-SHA256 Credential="

Key = tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """params: without the payload. payload: the member that is the raw body, "" when the body means nothing.

    is_light: see services.service.
    is_document: the body is a document with all members, which has to be parsed and checked each time.
    """

    model: ServiceModel
    desk: Any
    operation: str
    work: Operation
    is_self_limited: bool
    caller: Caller
    params: Mapping[str, Any]
    payload: str
    is_document: bool = False
    is_light: bool = False


class Heads:
    """At most HEADS_MAX; when there are more, all are forgotten."""

    def __init__(self, models: Iterable[ServiceModel]) -> None:
        plans = [plan for model in models if model.protocol == "rest-json" for plan in model.plans.values()]
        self._read = _ALWAYS | {place.name for plan in plans for place in plan.input.header}
        self._known: dict[Key, Known] = {}

    def key(self, incoming: IncomingRequest, account: str) -> Key | None:
        """What tells the meaning of this head; None when a head alone does not."""
        credential = ""
        parts = [account, incoming.method, incoming.path, incoming.query]
        read = self._read
        for name, value in incoming.headers:
            if name in read:
                parts += (name, value)
            elif name == "authorization":
                if credential:
                    return None
                credential = value.partition(",")[0]
        if not credential.startswith(_SCHEME):
            return None
        parts.append(credential)
        return tuple(parts)

    def get(self, key: Key | None) -> Known | None:
        return self._known.get(key) if key is not None else None

    def keep(self, key: Key, known: Known) -> None:
        if sum(map(len, key)) > HEAD_CHARS_MAX:
            return
        if len(self._known) >= HEADS_MAX:
            self._known.clear()
        self._known[key] = known


def body_is_document(model: ServiceModel, plan: Plan) -> bool:
    """Whether every member stands in a document, and nothing else depends on it."""
    return model.protocol == "json" and not plan.stream


def body_tells_nothing(model: ServiceModel, plan: Plan) -> bool:
    """Whether the members beside a raw payload are all in the head, and the payload itself has no limits to check."""
    places = plan.input
    if model.protocol != "rest-json" or plan.stream or places.body or places.header_maps:
        return False
    payload = places.payload
    if payload is None:
        return True
    limits = payload.shape.metadata.keys() & {"min", "max", "pattern", "enum"}
    return places.raw_payload and payload.shape.type_name == "blob" and not limits
