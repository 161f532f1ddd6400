"""From a request to the operation that answers it, and back: `Front.handle` is the table of contents.

    bytes -> guard -> health? -> service -> body -> operation -> caller -> params -> constraints -> work -> bytes

A head that went through these steps before is recognised (recognition.py), and only its body is new.
A body that the model calls streaming (S3's objects) is not read here: its operation gets it as a StreamedBody.

Errors of every step are ServiceErrors (the wire's are turned into them here) and are rendered in one place, in the
words of the service that was asked. What is not a ServiceError is a defect of ours: its traceback goes to the log, the
caller gets the request id to look for.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import msgspec
from botocore.model import OperationModel

from paddock.control.sessions import Sessions
from paddock.front import downloads
from paddock.front.access import AccessRecord
from paddock.front.downloads import Downloads
from paddock.front.function_urls import FunctionUrls
from paddock.front.function_urls.door import OPERATION as URL_OPERATION
from paddock.front.guard import Guard, is_foreign
from paddock.front.identity import caller_of, in_words_of, with_session
from paddock.front.pages import Fields, Pages, Site, nobody
from paddock.front.recognition import Heads, Known, body_is_document, body_tells_nothing
from paddock.front.rendering import error_response
from paddock.front.unmounted import Unmounted
from paddock.model.errors import (
    AccessDenied,
    ClientError,
    InternalError,
    NotYet,
    RequestEntityTooLarge,
    ServiceError,
    ValidationError,
)
from paddock.services.service import Call, Mount, Operation, Reply, operations_of
from paddock.wire import constraints, integrity
from paddock.wire.errors import WireError
from paddock.wire.form_data import FormData
from paddock.wire.http1 import BodyTooLarge, ClientGone, Handler, IncomingRequest
from paddock.wire.messages import Request, Response
from paddock.wire.protocol import parse, route, serialize
from paddock.wire.service import ServiceModel, Switchboard, load_service
from paddock.wire.sigv4 import check_expiry, credential_of, credential_of_form, session_token_of
from paddock.wire.streamed import StreamedBody
from paddock.wire.virtual_host import VirtualHosts

log = logging.getLogger("paddock.front")

HEALTH_PATH = "/health"
COVERAGE = "See docs/coverage.md."

Hook = Callable[[IncomingRequest], Awaitable[Response]]
"""Answers requests that no service model describes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FrontSettings:
    """default_account: 12 digits. body_bytes_max: AWS's limit for CreateFunction, the largest of all.

    request_timeout_s: longer than any synchronous invocation may take; None for no limit.
    host_names: names besides IP addresses, localhost and AWS's that this server is reached by.
    """

    default_account: str = "000000000000"
    default_region: str = "us-east-1"
    body_bytes_max: int = 70_167_211
    request_timeout_s: float | None = 1_000.0
    host_names: tuple[str, ...] = ()


@dataclass(slots=True)
class _Asked:
    """What has been understood of a request so far: errors and the access record speak of it.

    shared: what the answer tells the browser of a page that sent it.
    """

    request_id: str
    service: ServiceModel | None = None
    operation: str = ""
    error_code: str = ""
    shared: Fields = ()

    @property
    def service_name(self) -> str:
        return "" if self.service is None else self.service.name


@dataclass(frozen=True, slots=True)
class _Served:
    """A mounted service, with its functions by operation name."""

    model: ServiceModel
    desk: Any
    operations: Mapping[str, Operation]
    self_limited: frozenset[str]
    light: frozenset[str]


class Front:
    """All services behind one port. Hand `handle` to an HttpServer.

    new_id: a fresh request id (UUID). health: the JSON document of GET /health. record: takes one AccessRecord per
    request, at once and without I/O; None where nobody reads them. monotonic: seconds, for durations.
    now: aware UTC; without it URLs never expire.
    sessions: whose temporary credentials are; without them nobody's are told apart.
    documents: texts that anybody may GET, by path (the certificate of SNS's signatures).
    site: what pages of other sites may use (pages.py). hooks: who takes POSTs at a path; each checks who calls.
    tools: likewise, for programs on this machine such as the command line: neither web pages nor functions get there.
    function_urls: what answers at hosts of their own, which web pages may use, too.
    """

    def __init__(
        self,
        mounts: Sequence[Mount],
        settings: FrontSettings,
        *,
        new_id: Callable[[], str],
        health: Callable[[], Mapping[str, Any]],
        record: Callable[[AccessRecord], None] | None,
        monotonic: Callable[[], float],
        code_downloads: Downloads | None = None,
        documents: Mapping[str, bytes] | None = None,
        now: Callable[[], datetime] | None = None,
        site: Site | None = None,
        hooks: Mapping[str, Hook] | None = None,
        tools: Mapping[str, Hook] | None = None,
        sessions: Sessions | None = None,
        function_urls: FunctionUrls | None = None,
    ) -> None:
        self._hooks = hooks if hooks is not None else {}
        self._tools = tools if tools is not None else {}
        self._pages = Pages(site)
        self._settings = settings
        self._downloads = code_downloads
        self._new_id = new_id
        self._health = health
        self._record = record
        self._monotonic = monotonic
        self._now = now
        self._sessions = sessions
        self._urls = function_urls
        self._documents = documents if documents is not None else {}
        self._guard = Guard(settings.host_names)
        self._unmounted = Unmounted()
        self._served: dict[str, _Served] = {}
        for mount in mounts:
            model = load_service(mount.service.name)
            operations = operations_of(model.operation_names, *mount.service.modules)
            self._served[model.name] = _Served(
                model,
                mount.desk,
                operations,
                mount.service.self_limited,
                mount.service.light & mount.service.self_limited,
            )
        self._switchboard = Switchboard([served.model for served in self._served.values()])
        self._heads = Heads(served.model for served in self._served.values())
        self._hosts = VirtualHosts(frozenset(each.model.model.endpoint_prefix for each in self._served.values()))

    def confined_to(self, account: str) -> Handler:
        """A handler for callers who are that account whatever their credentials say: a function's own calls."""

        async def handle(incoming: IncomingRequest) -> Response:
            return await self.handle(incoming, account)

        return handle

    def is_light(self, incoming: IncomingRequest) -> bool:
        """Whether `handle` will await nothing but futures. For callers of every account."""
        known = incoming.known = self._heads.get(self._heads.key(incoming, ""))
        return known is not None and known.is_light

    async def handle(self, incoming: IncomingRequest, account: str = "") -> Response:
        """Answer one request. Raises only ClientGone (and CancelledError): then nobody is there to be answered.

        account: the one account the caller may speak for, or "" for the one its access key names.
        """
        started_s = 0.0 if self._record is None else self._monotonic()
        asked = _Asked(self._new_id())
        response: Response | None = None
        try:
            response = await self._answer(incoming, asked, account)
        except ClientGone:
            asked.error_code = "ClientGone"
            raise
        except (ServiceError, WireError) as error:
            response = self._refuse(_as_service_error(error), incoming, asked)
        except Exception:
            log.exception("request %s: %s:%s failed", asked.request_id, asked.service_name, asked.operation)
            hint = f"An internal error occurred; the server's log has request id {asked.request_id}."
            response = self._refuse(InternalError(hint), incoming, asked)
        finally:
            if self._record is not None:
                self._record(_noted(asked, incoming.received_bytes, response, self._monotonic() - started_s))
        return (
            msgspec.structs.replace(response, headers=(*response.headers, *asked.shared)) if asked.shared else response
        )

    async def _answer(self, incoming: IncomingRequest, asked: _Asked, account: str) -> Response:
        """The steps, in order. Whatever goes wrong is raised."""
        key = None if incoming.known else self._heads.key(incoming, account)
        known = incoming.known or self._heads.get(key)
        if known is not None:
            return await self._answer_known(known, incoming, asked)
        url_host = self._urls.host_of(incoming) if self._urls is not None else None
        if self._urls is not None and url_host is not None:
            asked.operation = URL_OPERATION
            return await self._urls.answer(url_host, incoming, asked.request_id, account)
        head = self._hosts.path_style(_request(incoming))
        if self._pages.is_preflight(head):
            asked.service, asked.operation = self._served[self._pages.service].model, "Preflight"
            return self._pages.preflight(head)
        asked.shared = self._pages.shared(head) or ()
        self._guard.check(incoming.headers, is_shared=bool(asked.shared))
        if incoming.path == HEALTH_PATH and incoming.method in ("GET", "HEAD"):
            return self._health_response(asked)
        if self._downloads is not None and incoming.path.startswith(downloads.PATH) and incoming.method == "GET":
            return await self._downloads.answer(incoming.path, incoming.query)
        if incoming.path in self._documents and incoming.method == "GET":
            fields = (("Content-Type", "application/x-pem-file"),)
            return Response(status=200, headers=fields, body=self._documents[incoming.path])
        hook = self._hook(incoming, account) if incoming.method == "POST" else None
        if hook is not None:
            return await hook(incoming)
        if self._pages.is_form(head):
            return await self._post(incoming, head, asked, account)
        asked.service = self._switchboard.identify(head)
        is_told_by_head = asked.service is not None
        routed = route(asked.service, head) if asked.service is not None and asked.service.streams else None
        streamed = asked.service is not None and routed is not None and _is_streamed(asked.service, routed[0])
        request = head if streamed else await self._with_body(incoming, head, asked)
        served = await self._served_by(request, asked)
        if served.model.name != self._pages.service and is_foreign(incoming.headers):
            raise AccessDenied("Pages of other sites may use buckets only, as their CORS rules say.")
        if request.query and self._now is not None:
            check_expiry(request, self._now())
        if served.model.bare_errors and request.body:
            integrity.check_whole(request)
        asked.operation, path_params = routed or route(served.model, request)
        work = _function_of(served, asked.operation)
        caller = caller_of(credential_of(request), self._settings.default_account, self._settings.default_region)
        caller = replace(caller, account=account) if account else caller
        if self._sessions is not None:
            caller = with_session(caller, session_token_of(request), self._sessions.of, served.model.protocol)
        caller = nobody(caller) if is_foreign(incoming.headers) else caller
        params = parse(served.model, asked.operation, request, path_params)
        if streamed:
            params[served.model.plans[asked.operation].stream] = StreamedBody(incoming)
        _check_constraints(served.model, asked.operation, params)
        plan = served.model.plans[asked.operation]
        payload = plan.input.payload.member if plan.input.payload is not None else ""
        known = Known(
            model=served.model,
            desk=served.desk,
            operation=asked.operation,
            work=work,
            is_self_limited=asked.operation in served.self_limited,
            is_light=asked.operation in served.light,
            caller=caller,
            params={name: value for name, value in params.items() if name != payload},
            payload=payload,
        )
        if key is not None and is_told_by_head:
            if body_tells_nothing(served.model, plan):
                self._heads.keep(key, known)
            elif body_is_document(served.model, plan):
                self._heads.keep(key, replace(known, params={}, is_document=True))
        return await self._do(known, params, incoming, asked)

    async def _answer_known(self, known: Known, incoming: IncomingRequest, asked: _Asked) -> Response:
        """The same steps for a head that went through them before: only the body is new."""
        asked.service, asked.operation = known.model, known.operation
        if self._sessions is not None and known.caller.session is not None:
            try:
                self._sessions.check(known.caller.session)
            except AccessDenied as error:
                raise in_words_of(known.model.protocol, error) from error
        try:
            body = await incoming.read(self._settings.body_bytes_max)
        except BodyTooLarge as error:
            raise _too_large(error, known.operation) from None
        if known.is_document:
            request = replace(_request(incoming), body=body)
            parsed = parse(known.model, known.operation, request, {})
            _check_constraints(known.model, known.operation, parsed)
            return await self._do(known, parsed, incoming, asked)
        params = dict(known.params)
        if body and known.payload:
            params[known.payload] = body
        return await self._do(known, params, incoming, asked)

    async def _do(self, known: Known, params: Mapping[str, Any], incoming: IncomingRequest, asked: _Asked) -> Response:
        """What was asked, now that it is understood."""
        call = Call(
            caller=known.caller,
            request_id=asked.request_id,
            params=params,
            trace_id=incoming.headers.get("x-amzn-trace-id"),
            source_ip=incoming.peer.rpartition(":")[0].strip("[]"),
            headers=incoming.headers,
            operation=known.operation,
        )
        if known.is_self_limited:
            output = await known.work(known.desk, call)
        else:
            output = await self._run(known.work, known.desk, call)
        return _success(known.model, asked, output)

    async def _post(self, incoming: IncomingRequest, head: Request, asked: _Asked, account: str) -> Response:
        """A browser's form, which no service model knows."""
        asked.service, asked.operation = self._served[self._pages.service].model, "PostObject"
        form = await FormData.read(incoming)
        credential = credential_of_form(form.fields)
        caller = caller_of(credential, self._settings.default_account, self._settings.default_region)
        caller = replace(caller, account=account) if account else caller
        call = Call(
            caller=nobody(caller) if is_foreign(incoming.headers) else caller,
            request_id=asked.request_id,
            params={},
            source_ip=incoming.peer.rpartition(":")[0].strip("[]"),
            headers=incoming.headers,
            operation="PutObject",
        )
        return await self._pages.post(call, head.path, form)

    def _hook(self, incoming: IncomingRequest, account: str) -> Hook | None:
        """Tools are for programs of this machine: a page says where it is from, and a function has an account."""
        is_program = not account and not incoming.headers.get("origin")
        return self._hooks.get(incoming.path) or (self._tools.get(incoming.path) if is_program else None)

    def _health_response(self, asked: _Asked) -> Response:
        fields = (("x-amzn-RequestId", asked.request_id), ("Content-Type", "application/json"))
        return Response(status=200, headers=fields, body=json.dumps(self._health()).encode())

    async def _with_body(self, incoming: IncomingRequest, head: Request, asked: _Asked) -> Request:
        """The whole request. Raises RequestEntityTooLarge, naming the operation where the head tells it."""
        try:
            body = await incoming.read(self._settings.body_bytes_max)
        except BodyTooLarge as error:
            if asked.service is not None and asked.service.protocol != "query":
                asked.operation, _ = route(asked.service, head)
            raise _too_large(error, asked.operation) from None
        return replace(head, body=body) if body else head

    async def _served_by(self, request: Request, asked: _Asked) -> _Served:
        """The mounted service. Raises NotYet for one that is not mounted, ClientError when nothing tells."""
        if asked.service is None:
            # The unsigned form of a query service is told by its body only.
            asked.service = self._switchboard.identify(request)
        if asked.service is not None:
            return self._served[asked.service.name]
        credential = credential_of(request)
        scope = "" if credential is None else credential.service
        asked.service = await self._unmounted.find(scope) if scope else None
        if asked.service is not None:
            asked.operation = _operation_or_nothing(asked.service, request)
            what = f"{asked.service.name}:{asked.operation}" if asked.operation else f"the service {asked.service.name}"
            raise NotYet(f"Paddock does not implement {what} yet. {COVERAGE}")
        target = request.headers.get("x-amz-target")
        seen = f"credential scope {scope[:64]!a}, target {target[:128]!a}, path {request.path[:256]!a}"
        if scope or target:
            raise NotYet(f"Paddock does not serve what this request asks for ({seen}). {COVERAGE}")
        message = f"Paddock can not tell which service this request is for ({seen})."
        raise ClientError(message, code="UnknownOperationException", status=404)

    async def _run(self, work: Operation, desk: Any, call: Call) -> Mapping[str, Any] | Reply | None:
        """The operation itself, within the time a request may take."""
        timeout_s = self._settings.request_timeout_s
        if timeout_s is None:
            return await work(desk, call)
        try:
            async with asyncio.timeout(timeout_s) as deadline:
                return await work(desk, call)
        except TimeoutError:
            if deadline.expired():
                raise InternalError(f"The request did not finish within {timeout_s:g} seconds.") from None
            raise

    def _refuse(self, error: ServiceError, incoming: IncomingRequest, asked: _Asked) -> Response:
        asked.error_code = error.code
        return error_response(error, asked.service, asked.operation or None, incoming.headers, asked.request_id)


def _noted(asked: _Asked, bytes_in: int, response: Response | None, duration_s: float) -> AccessRecord:
    bytes_out: int | None = 0
    if response is not None:
        bytes_out = len(response.body) if isinstance(response.body, bytes) else None
    return AccessRecord(
        asked.request_id,
        asked.service_name,
        asked.operation,
        0 if response is None else response.status,
        asked.error_code,
        bytes_in,
        bytes_out,
        duration_s,
    )


def _too_large(error: BodyTooLarge, operation: str) -> RequestEntityTooLarge:
    suffix = f" for the {operation} operation" if operation else ""
    return RequestEntityTooLarge(f"Request must be smaller than {error.bytes_max} bytes{suffix}")


def _request(incoming: IncomingRequest) -> Request:
    return Request(method=incoming.method, path=incoming.path, query=incoming.query, headers=incoming.headers)


def _is_streamed(service: ServiceModel, operation: str) -> bool:
    """Whether the operation takes its body in pieces."""
    return bool(service.plans[operation].stream)


def _function_of(served: _Served, operation: str) -> Operation:
    work = served.operations.get(operation)
    if work is None:
        raise NotYet(f"Paddock does not implement {served.model.name}:{operation} yet. {COVERAGE}")
    return work


def _operation_or_nothing(service: ServiceModel, request: Request) -> str:
    try:
        return route(service, request)[0]
    except WireError:
        return ""


def _check_constraints(service: ServiceModel, operation: str, params: Mapping[str, Any]) -> None:
    """Raises ValidationError with every violation of the model's limits."""
    model = service.operation(operation)
    found = constraints.violations(model, params)
    if found:
        raise ValidationError(constraints.message(found), code=_constraint_code(service, model))


def _constraint_code(service: ServiceModel, operation: OperationModel) -> str:
    """The name services give to a broken constraint.

    ValidationException is the framework's own and stands in few models; the query protocol says ValidationError
    (spec 06 §4), and services that declare InvalidParameterException (logs) use that.
    """
    if service.protocol == "query":
        return "ValidationError"
    if service.protocol == "rest-xml":
        shape = operation.input_shape
        return "MalformedXML" if shape is not None and "payload" in shape.serialization else "InvalidArgument"
    declared = {shape.name for shape in operation.error_shapes}
    if "ValidationException" not in declared and "InvalidParameterException" in declared:
        return "InvalidParameterException"
    return "ValidationException"


def _success(service: ServiceModel, asked: _Asked, output: Mapping[str, Any] | Reply | None) -> Response:
    if isinstance(output, Reply):
        response = serialize(service, asked.operation, output.output, asked.request_id, output.headers)
        return response if output.status is None else msgspec.structs.replace(response, status=output.status)
    return serialize(service, asked.operation, output or {}, asked.request_id)


def _as_service_error(error: ServiceError | WireError) -> ServiceError:
    if isinstance(error, ServiceError):
        return error
    return ClientError(error.message, code=error.code, status=error.status)
