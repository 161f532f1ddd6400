"""InvokeWithResponseStream: the answer as an event stream, whose first event leaves before the function ends."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator

import msgspec

from paddock.invoke.streaming import StreamedInvocation
from paddock.model.errors import ServiceError
from paddock.model.invocation import Invocation, InvocationType
from paddock.model.tenancy import for_tenant
from paddock.services.lambda_ import keys
from paddock.services.lambda_.desk import Desk, ref_of
from paddock.services.lambda_.invoke import checked_payload, client_context
from paddock.services.lambda_.settings import refuse_others
from paddock.services.service import Call, Reply
from paddock.wire import eventstream

_HONOURED = frozenset(
    {"FunctionName", "Qualifier", "InvocationType", "LogType", "ClientContext", "Payload", "TenantId"}
)
_BYTES, _JSON = "application/octet-stream", "application/json"


async def invoke_with_response_stream(desk: Desk, call: Call) -> Reply:
    params = call.params
    refuse_others(params, _HONOURED)
    kind = InvocationType(params.get("InvocationType", InvocationType.REQUEST_RESPONSE.value))
    ref = ref_of(call)
    version = for_tenant(desk.catalogue.resolve(ref), params.get("TenantId", ""))
    keys.check(desk, version.kms_key_arn, call.caller)
    payload = checked_payload(params.get("Payload") or b"{}", kind, desk.quotas)
    now = desk.clock.now()
    trace_id = call.trace_id or f"Root=1-{int(now.timestamp()):08x}-{desk.ids.hex(24)};Sampled=0"
    tail = params.get("LogType") == "Tail"
    invocation = Invocation(
        request_id=call.request_id,
        version=version,
        invoked_arn=ref.arn,
        payload=payload,
        client_context=client_context(params.get("ClientContext", ""), desk.quotas),
        trace_id=trace_id,
        tail=tail,
        received_at=now,
    )
    headers = (("X-Amzn-Trace-Id", trace_id),)
    if kind is InvocationType.DRY_RUN:
        return Reply({"StatusCode": 204}, headers)
    running = await StreamedInvocation.start(desk.dispatcher, invocation, desk.quotas, desk.clock)
    output = {
        "StatusCode": 200,
        "ExecutedVersion": version.version,
        "EventStream": Events(running, tail),
        "ResponseStreamContentType": eventstream.CONTENT_TYPE,
    }
    return Reply(output, headers)


class Events:
    """PayloadChunk for what comes, then one InvokeComplete. Whoever stops before closes it."""

    def __init__(self, running: StreamedInvocation, tail: bool) -> None:
        self._running = running
        self._tail = tail
        self._has_shown = False
        self._is_over = False

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        if self._is_over:
            raise StopAsyncIteration
        piece = await self._running.stream.next_piece()
        if piece:
            return eventstream.event("PayloadChunk", _BYTES, piece)
        return await self._last()

    async def aclose(self) -> None:
        self._running.stream.abandon()

    async def _last(self) -> bytes:
        """How it ended; before that, of a function that does not stream, its result as the only chunk."""
        complete: dict[str, str] = {}
        try:
            result = await self._running.result()
        except ServiceError as error:  # of ours, after the first byte
            complete = {"ErrorCode": error.code, "ErrorDetails": error.message}
        else:
            if result.payload and not result.function_error and not self._has_shown:
                self._has_shown = True
                return eventstream.event("PayloadChunk", _BYTES, result.payload)
            if result.function_error:
                complete["ErrorCode"] = result.error_type or result.function_error
                complete["ErrorDetails"] = result.payload.decode(errors="replace")
            if self._tail:
                complete["LogResult"] = base64.b64encode(result.log_tail).decode()
        self._is_over = True
        return eventstream.event("InvokeComplete", _JSON, msgspec.json.encode(complete))
