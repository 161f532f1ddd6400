"""Invoke: check, resolve, run, answer. Everything before the dispatcher works on memory alone."""

from __future__ import annotations

import base64
import binascii
from collections.abc import AsyncIterable

import msgspec

from paddock.model.errors import InvalidParameterValue, InvalidRequestContent, RequestEntityTooLarge
from paddock.model.event_mode import QueuedEvent
from paddock.model.function import FunctionVersion
from paddock.model.invocation import Invocation, InvocationResult, InvocationType
from paddock.model.quotas import Quotas
from paddock.model.tenancy import for_tenant
from paddock.services.lambda_ import keys
from paddock.services.lambda_.desk import Desk, ref_of
from paddock.services.lambda_.settings import refuse_others
from paddock.services.service import Call, Params, Reply

_HONOURED = frozenset(
    {"FunctionName", "Qualifier", "InvocationType", "LogType", "ClientContext", "Payload", "TenantId"}
)
_KINDS = {kind.value: kind for kind in InvocationType}
_ALWAYS = (("Content-Type", "application/json"), ("x-amzn-Remapped-Content-Length", "0"))
_NOT_JSON = "Could not parse request body into json: Could not parse payload into json: "


async def invoke(desk: Desk, call: Call) -> Reply:
    params = call.params
    if not params.keys() <= _HONOURED:
        refuse_others(params, _HONOURED)
    kind = _KINDS[params.get("InvocationType", "RequestResponse")]
    ref = ref_of(call)
    version = for_tenant(desk.catalogue.resolve(ref), params.get("TenantId", ""))
    keys.check(desk, version.kms_key_arn, call.caller)
    payload = checked_payload(params.get("Payload") or b"{}", kind, desk.quotas)
    context = client_context(params.get("ClientContext", ""), desk.quotas)
    now = desk.clock.now()
    trace_id = call.trace_id or f"Root=1-{int(now.timestamp()):08x}-{desk.ids.hex(24)};Sampled=0"
    if kind is InvocationType.DRY_RUN:
        return Reply({"StatusCode": 204}, (("X-Amzn-Trace-Id", trace_id),))
    if kind is InvocationType.EVENT:
        await desk.asynchronous.accept(
            QueuedEvent(
                request_id=call.request_id,
                arn=ref.arn,
                payload=payload,
                trace_id=trace_id,
                tenant_id=version.tenant_id,
            )
        )
        return Reply({"StatusCode": 202}, (("X-Amzn-Trace-Id", trace_id),))
    tail = params.get("LogType") == "Tail"
    result = await desk.dispatcher.run(
        Invocation(
            request_id=call.request_id,
            version=version,
            invoked_arn=ref.arn,
            payload=payload,
            client_context=context,
            trace_id=trace_id,
            tail=tail,
            received_at=now,
        )
    )
    return _answer(result, version, trace_id, tail)


async def invoke_async(desk: Desk, call: Call) -> Params:
    """The old form of event mode."""
    ref = ref_of(call)
    keys.check(desk, for_tenant(desk.catalogue.resolve(ref), "").kms_key_arn, call.caller)
    sent = await _whole(call.params["InvokeArgs"], desk.quotas.async_payload_bytes_max)
    payload = checked_payload(sent or b"{}", InvocationType.EVENT, desk.quotas)
    await desk.asynchronous.accept(
        QueuedEvent(request_id=call.request_id, arn=ref.arn, payload=payload, trace_id=call.trace_id)
    )
    return {"Status": 202}


async def _whole(body: AsyncIterable[bytes], bytes_max: int) -> bytes:
    """A body that comes in pieces; a little more than the limit when it is too long, for the check that follows."""
    read = b""
    async for piece in body:
        read += piece
        if len(read) > bytes_max:
            break
    return read


def _answer(result: InvocationResult, version: FunctionVersion, trace_id: str, tail: bool) -> Reply:
    output = {"StatusCode": 200, "Payload": result.payload, "ExecutedVersion": result.executed_version}
    if result.function_error:
        output["FunctionError"] = result.function_error
    if tail:
        output["LogResult"] = base64.b64encode(result.log_tail).decode()
    return Reply(output, (("X-Amzn-Trace-Id", trace_id), *_ALWAYS))


def checked_payload(payload: bytes, kind: InvocationType, quotas: Quotas) -> bytes:
    """The payload, untouched. Raises RequestEntityTooLarge, or InvalidRequestContent when it is not JSON."""
    limit = quotas.async_payload_bytes_max if kind is InvocationType.EVENT else quotas.sync_payload_bytes_max
    if len(payload) > limit:
        raise RequestEntityTooLarge(
            f"{len(payload)} byte payload is too large for the {kind.value} invocation type (limit {limit} bytes)"
        )
    try:
        # Raw checks the grammar without building anything, and leaves UTF-8 to be checked here.
        msgspec.json.decode(payload, type=msgspec.Raw)
        if not payload.isascii():
            payload.decode()
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidRequestContent(f"{_NOT_JSON}{error}") from error
    return payload


def client_context(header: str, quotas: Quotas) -> str:
    """The JSON text inside X-Amz-Client-Context, or "". Raises InvalidParameterValue, InvalidRequestContent."""
    if not header:
        return ""
    limit = quotas.client_context_bytes_max
    if len(header) > limit:
        raise InvalidParameterValue(f"The client context is {len(header)} bytes long (limit {limit} bytes)")
    try:
        text = base64.b64decode(header, validate=True)
        if not isinstance(msgspec.json.decode(text), dict):
            raise ValueError("not an object")
        return text.decode()
    except (binascii.Error, ValueError, RecursionError) as error:
        raise InvalidRequestContent("Client context must be a valid Base64-encoded JSON object.") from error
