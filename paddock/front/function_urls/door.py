"""What a request at a function URL goes through: `FunctionUrls.answer` is the table of contents.

    host -> URL -> preflight? -> body -> who may -> event -> invocation -> answer -> CORS

Errors look as function URLs show them: JSON with `Message`, 502 for whatever went wrong within the function.
"""

from __future__ import annotations

import json
from collections.abc import Iterable

import msgspec

from paddock.front.function_urls import answer, cors
from paddock.front.function_urls.admission import Admission
from paddock.front.function_urls.event import Circumstances, event_of
from paddock.front.function_urls.host import Hosts, UrlHost
from paddock.front.function_urls.stream import FunctionFailed, streamed
from paddock.front.identity import SessionOf
from paddock.invoke.streaming import StreamedInvocation
from paddock.model.arn import FunctionRef
from paddock.model.caller import Caller
from paddock.model.errors import AccessDenied, ServiceError
from paddock.model.function_url import FunctionUrl, InvokeMode
from paddock.model.invocation import Invocation
from paddock.services.lambda_ import Desk, keys
from paddock.wire.errors import WireError
from paddock.wire.http1 import BodyTooLarge, IncomingRequest
from paddock.wire.messages import Request, Response

OPERATION = "InvokeFunctionUrl"
BAD_GATEWAY = "Internal Server Error"


class FunctionUrls:
    """desk: what Lambda's own operations ask. domains: that URLs stand below. port: that clients connect to.

    secret, session_of: as Admission takes them.
    """

    def __init__(
        self, desk: Desk, *, secret: str, session_of: SessionOf, default_account: str, port: int,
        domains: Iterable[str] = (),
    ) -> None:  # fmt: skip
        self._desk = desk
        self._hosts = Hosts(domains)
        self._admission = Admission(desk.permissions, secret, session_of, default_account)
        self._port = port

    def host_of(self, incoming: IncomingRequest) -> UrlHost | None:
        """The URL that the request is for; None when it is for the API."""
        return self._hosts.read(incoming.headers.get("host"))

    async def answer(self, host: UrlHost, incoming: IncomingRequest, request_id: str, account: str = "") -> Response:
        """Raises ClientGone. account: the one that a function may speak for when it calls from inside, else ""."""
        found = self._desk.urls.at(host.url_id)
        if found is None or found[0].region != host.region:
            return _refused(403, None, "AccessDeniedException", request_id)
        ref, url = found
        trace_id = incoming.headers.get("x-amzn-trace-id") or self._new_trace()
        if url.cors is not None and incoming.method == "OPTIONS":
            response = cors.preflight(url.cors, incoming.headers)
        else:
            response = await self._served(ref, url, host, incoming, request_id, trace_id, account)
            if url.cors is not None:
                response = cors.with_cors(url.cors, incoming.headers, response)
        return _finished(response, incoming, request_id, trace_id)

    def _new_trace(self) -> str:
        return f"Root=1-{int(self._desk.clock.now().timestamp()):08x}-{self._desk.ids.hex(24)};Sampled=0"

    async def _served(
        self, ref: FunctionRef, url: FunctionUrl, host: UrlHost, incoming: IncomingRequest, request_id: str,
        trace_id: str, account: str,
    ) -> Response:  # fmt: skip
        """What the function says, or why it is not asked."""
        desk = self._desk
        try:
            request = await self._whole(incoming)
            now = desk.clock.now()
            caller = self._admission.admit(ref, url, request, now, account)
            about = Circumstances(
                host=host,
                request_id=request_id,
                trace_id=trace_id,
                source_ip=incoming.peer.rpartition(":")[0].strip("[]"),
                http_version=incoming.http_version,
                now=now,
                port=self._port,
                caller=caller,
            )
            return await self._invoked(ref, url, event_of(request, about), about)
        except AccessDenied as error:
            return _refused(403, error.message, error.code, request_id)
        except ServiceError as error:
            return _refused(error.status, error.message, error.code, request_id)
        except WireError as error:
            return _refused(error.status, error.message, error.code, request_id, member="message")
        except (answer.BadAnswer, FunctionFailed):
            return _bad_gateway()

    async def _whole(self, incoming: IncomingRequest) -> Request:
        limit = self._desk.quotas.sync_payload_bytes_max
        try:
            body = await incoming.read(limit)
        except BodyTooLarge:
            raise _too_large(limit) from None
        return Request(
            method=incoming.method, path=incoming.path, query=incoming.query, headers=incoming.headers, body=body
        )

    async def _invoked(self, ref: FunctionRef, url: FunctionUrl, event: bytes, about: Circumstances) -> Response:
        """Raises what resolving and the dispatcher do, and BadAnswer."""
        desk = self._desk
        if len(event) > desk.quotas.sync_payload_bytes_max:
            raise _too_large(desk.quotas.sync_payload_bytes_max)
        version = desk.catalogue.resolve(ref)
        keys.check(desk, version.kms_key_arn, about.caller or Caller(account=ref.account, region=ref.region))
        invocation = Invocation(
            request_id=about.request_id,
            version=version,
            invoked_arn=ref.arn,
            payload=event,
            trace_id=about.trace_id,
            received_at=about.now,
        )
        if url.mode is InvokeMode.RESPONSE_STREAM:
            running = await StreamedInvocation.start(desk.dispatcher, invocation, desk.quotas, desk.clock)
            return await streamed(running)
        result = await desk.dispatcher.run(invocation)
        return _bad_gateway() if result.function_error else answer.buffered(result.payload)


def _too_large(limit: int) -> ServiceError:
    text = f"Request must be smaller than {limit} bytes for the InvokeFunction operation"
    return ServiceError(text, code="RequestEntityTooLargeException", status=413, fault="client")


def _bad_gateway() -> Response:
    fields = (("Content-Type", answer.JSON), ("x-amzn-ErrorType", "InternalServerErrorException"))
    return Response(status=502, headers=fields, body=BAD_GATEWAY.encode())


def _refused(status: int, message: str | None, code: str, request_id: str, member: str = "Message") -> Response:
    fields = (("x-amzn-RequestId", request_id), ("x-amzn-ErrorType", code), ("Content-Type", answer.JSON))
    return Response(status=status, headers=fields, body=json.dumps({member: message}).encode())


def _finished(response: Response, incoming: IncomingRequest, request_id: str, trace_id: str) -> Response:
    """With what every answer carries."""
    fields = [("x-amzn-RequestId", request_id), ("X-Amzn-Trace-Id", trace_id)]
    if incoming.method == "HEAD" and isinstance(response.body, bytes):
        fields.append(("Content-Length", str(len(response.body))))
    kept = [one for one in response.headers if one[0] != "x-amzn-RequestId"]
    return msgspec.structs.replace(response, headers=(*fields, *kept))
