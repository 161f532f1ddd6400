"""The extensions of one environment: their API (spec 02 section 5), their states, and who waits for them.

    POST /2020-01-01/extension/register       the first thing an extension does
    GET  /2020-01-01/extension/event/next     waits for an event: INVOKE, SHUTDOWN
    POST /2020-01-01/extension/init/error     it cannot start; it exits next
    POST /2020-01-01/extension/exit/error     it cannot go on; it exits next

External ones are the files of /opt/extensions, each a process beside the runtime that starts before it does. Internal
ones are threads of the runtime that have registered under a name of their own before the runtime asked for its first
event. PUT /2022-07-01/telemetry and /2020-08-15/logs, which ask for what telemetry.py tells, belong to them, too.

With the initialisation registration ends: from then on the environment waits for all of them together.

    launch()      the external ones are started; until each has registered
    ready()       until every one has asked for its first event
    invoke()      an event is inside; are_busy, done(): until all who take part have asked for the next
    shut_down()   SIGTERM to the runtime, SHUTDOWN to those who want it, each within its time

The end of a process in between is a failure of the environment, which `lost` is told. An environment without
extensions passes through all of it without waiting once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import msgspec

from paddock.interfaces import Clock, Ids, Sandbox
from paddock.model.extension import CALLS, INVOKE, SHUTDOWN, ExtensionState
from paddock.model.function import FunctionVersion
from paddock.model.invocation import Invocation
from paddock.wire.http1 import BodyTooLarge, IncomingRequest
from paddock.wire.messages import Response
from paddock.worker import failures
from paddock.worker.failures import Failure
from paddock.worker.journal import Journal
from paddock.worker.runtime_api import JSON, accepted, problem
from paddock.worker.sandbox.launch import EXTENSIONS_MAX
from paddock.worker.subscription import PATHS, Invalid, parse
from paddock.worker.telemetry import Telemetry

API = "/2020-01-01/extension/"
_BODY_BYTES_MAX = 262_144
_EVENTS = {True: frozenset((INVOKE, SHUTDOWN)), False: frozenset((INVOKE,))}  # by whether it is external
_IDENTIFIER_LENGTH = 36
_State = ExtensionState


@dataclass(frozen=True, slots=True)
class ShutdownLimits:
    """AWS's: how long an environment may take to end. runtime_s: the share of its runtime where extensions follow.

    internal_s: of the runtime, with internal extensions only. external_s: of everything, with external ones. Without
    extensions it is no time at all.
    """

    runtime_s: float = 0.3
    internal_s: float = 0.5
    external_s: float = 2.0


@dataclass(slots=True, eq=False)
class _Extension:
    """identifier: "" before it has registered. owes_next: it was given a part in the event that is inside."""

    name: str
    is_external: bool
    identifier: str = ""
    state: ExtensionState = _State.STARTED
    events: Sequence[str] = ()
    error_type: str = ""
    fatal: str = ""  # which error the end of its process will be
    is_alive: bool = True
    owes_next: bool = False
    event: Response | None = None
    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    is_polling: bool = False

    def give(self, event: Response) -> None:
        self.event = event
        self.arrived.set()


class _Registration(msgspec.Struct):
    events: Sequence[str] = ()
    configurationKeys: Sequence[str] = ()


def _refused(kind: str, message: str) -> Response:
    return problem(403, f"Extension.{kind}", message)


class Extensions:
    """See the module's page. `lost` is called with what happened when one of them ends; `request_id` names the event
    that is inside, "" when there is none.
    """

    def __init__(
        self,
        sandbox: Sandbox,
        version: FunctionVersion,
        *,
        journal: Journal,
        telemetry: Telemetry,
        clock: Clock,
        ids: Ids,
        lost: Callable[[Failure], None],
        request_id: Callable[[], str],
    ) -> None:
        self._sandbox = sandbox
        self._version = version
        self._journal = journal
        self._telemetry = telemetry
        self._clock = clock
        self._ids = ids
        self._lost = lost
        self._request_id = request_id
        self._all: dict[str, _Extension] = {}
        self._is_open = False
        self._is_ending = False
        self._waiting: list[tuple[Callable[[], bool], asyncio.Future[Failure | None]]] = []
        sandbox.on_extension_exit = self._exited

    @property
    def exist(self) -> bool:
        return bool(self._all)

    # -- its phases -----------------------------------------------------------------------------------------------

    async def launch(self, environment: Mapping[str, str], data_bytes_max: int) -> Failure | None:
        """Open registration, and start what the layers, or the image, bring. None once all of it has registered.

        Raises SandboxFailed.
        """
        self._is_open, self._is_ending = True, False
        self._telemetry.open()
        if not self._version.layers and self._version.image is None:
            return None
        launched = await self._sandbox.launch_extensions(environment, data_bytes_max)
        if launched.output >= 0:
            self._journal.listen(launched.output)
        for name in launched.names:
            self._all[name] = _Extension(name, is_external=True)
        if launched.failed:
            failed = self._all[launched.failed]
            failed.state, failed.error_type = _State.LAUNCH_ERROR, launched.error_type
            failed.is_alive = False
            return failures.extension_failed(self._request_id(), failures.EXTENSION_LAUNCH, launched.reason)
        return await self._until(lambda: all(one.state is not _State.STARTED for one in self._all.values()))

    async def ready(self) -> Failure | None:
        """The runtime is: nobody may register any more, and each who did must ask for its first event."""
        self._is_open = False
        if not self._all:
            return None
        return await self._until(lambda: all(one.state is _State.READY for one in self._all.values()))

    def report(self) -> None:
        """Say in the log how each one's initialisation went, whatever came of it; nobody may subscribe any more."""
        for one in self._all.values():
            self._journal.extension(one.name, one.state.value, one.events, one.error_type)
        self._telemetry.close()

    def invoke(self, invocation: Invocation, deadline_ms: int) -> None:
        """Tell those who want to know of it that an event is inside."""
        if not self._all:
            return
        event = {
            "eventType": INVOKE,
            "deadlineMs": deadline_ms,
            "requestId": invocation.request_id,
            "invokedFunctionArn": invocation.invoked_arn,
            "tracing": {"type": "X-Amzn-Trace-Id", "value": invocation.trace_id},
        }
        for one in self._all.values():
            if INVOKE in one.events:
                one.owes_next = True
                one.give(self._event(event))

    @property
    def are_busy(self) -> bool:
        """Whether one of them has not asked for its next event since the last one came."""
        return bool(self._all) and any(one.owes_next for one in self._all.values())

    async def done(self) -> Failure | None:
        """None once nobody is busy."""
        return await self._until(lambda: not self.are_busy)

    async def shut_down(self, reason: str, limits: ShutdownLimits) -> None:
        """The phase SHUTDOWN. reason: spindown, timeout or failure. Who outlives it is for the caller to end."""
        if not self._all:
            return
        self._is_ending, self._is_open = True, False
        external = [one for one in self._all.values() if one.is_external]
        total_s = limits.external_s if external else limits.internal_s
        started = self._clock.monotonic()
        deadline_ms = int((self._clock.now().timestamp() + total_s) * 1000)
        if self._sandbox.exit_status is None:
            self._sandbox.terminate()
            await self._within(limits.runtime_s if external else total_s, lambda: self._sandbox.exit_status is not None)
            self._sandbox.kill()
        told = [one for one in external if SHUTDOWN in one.events and one.is_alive]
        event = {"eventType": SHUTDOWN, "shutdownReason": reason, "deadlineMs": deadline_ms}
        for one in told:
            one.give(self._event(event))
        left_s = total_s - (self._clock.monotonic() - started)
        await self._within(left_s, lambda: not any(one.is_alive for one in told))

    def forget(self) -> None:
        """None of their processes is left."""
        for one in self._all.values():
            one.event = None
            one.arrived.set()
        self._all = {}
        self._is_open = False
        self._telemetry.forget()

    # -- waiting --------------------------------------------------------------------------------------------------

    async def _until(self, condition: Callable[[], bool]) -> Failure | None:
        """None once it is so; before that, why it never will be."""
        if condition():
            return None
        future: asyncio.Future[Failure | None] = asyncio.get_running_loop().create_future()
        waiting = (condition, future)
        self._waiting.append(waiting)
        try:
            return await future
        finally:
            self._waiting.remove(waiting)

    async def _within(self, limit_s: float, condition: Callable[[], bool]) -> None:
        try:
            async with asyncio.timeout(max(0.0, limit_s)):
                await self._until(condition)
        except TimeoutError:
            return

    def look(self) -> None:
        """Something has changed: who waits for it goes on."""
        for condition, future in self._waiting:
            if not future.done() and condition():
                future.set_result(None)

    def settle(self, failure: Failure) -> None:
        """Whoever waits for them learns that they will not come."""
        if self._is_ending:
            self.look()
            return
        for _, future in self._waiting:
            if not future.done():
                future.set_result(failure)

    def _exited(self, name: str, wait_status: int) -> None:
        one = self._all.get(name)
        if one is None:
            return
        one.is_alive = False
        if self._is_ending:
            one.state = _State.EXITED if wait_status == 0 else _State.SHUTDOWN_FAILED
            self.look()
            return
        cause = failures.extension_cause(wait_status)
        error_type = one.fatal or failures.EXTENSION_CRASH
        one.error_type = one.error_type or error_type
        self._lost(failures.extension_failed(self._request_id(), error_type, cause))

    # -- their API ------------------------------------------------------------------------------------------------

    async def handle(self, request: IncomingRequest) -> Response:
        """Answer one request from inside the environment that is not of the Runtime API."""
        match (request.method, request.path.removeprefix(API)):
            case ("POST", "register"):
                return await self._register(request)
            case ("GET", "event/next"):
                found = self.identified(request)
                return found if isinstance(found, Response) else await self._next(found, request)
            case ("POST", "init/error" | "exit/error" as call):
                found = self.identified(request)
                return found if isinstance(found, Response) else await self._error(found, request, call)
            case ("PUT", path) if path in PATHS:
                found = self.identified(request)
                return found if isinstance(found, Response) else await self._subscribe(found, request, PATHS[path])
        return Response(status=404, body=b"404 page not found\n")

    def identified(self, request: IncomingRequest) -> _Extension | Response:
        """Who asks, by the header; or the answer to who does not tell."""
        identifier = request.headers.get("lambda-extension-identifier", "")
        if not identifier:
            return _refused("MissingExtensionIdentifier", "Missing Lambda-Extension-Identifier header")
        if len(identifier) != _IDENTIFIER_LENGTH or identifier.strip("0123456789abcdefABCDEF-"):
            return _refused("InvalidExtensionIdentifier", "Invalid Lambda-Extension-Identifier")
        for one in self._all.values():
            if one.identifier == identifier.lower():
                return one
        return _refused("UnknownExtensionIdentifier", f"Unknown extension {identifier}")

    def _step(self, one: _Extension, call: str, named: str) -> Response | None:
        """Move it to the state that the call leads to, or the answer to a call that its state does not allow."""
        to = CALLS[one.state].get(call)
        if to is None:
            goal = next(moves[call] for moves in CALLS.values() if call in moves)
            text = f"State transition from {one.state.value} to {goal.value} failed for extension {named}."
            return _refused("InvalidExtensionState", f"{text} Error: State transition is not allowed")
        one.state = to
        return None

    async def _register(self, request: IncomingRequest) -> Response:
        name = request.headers.get("lambda-extension-name", "")
        if not name:
            return _refused("InvalidExtensionName", "Empty extension name")
        try:
            asked = msgspec.json.decode(await request.read(_BODY_BYTES_MAX), type=_Registration)
        except (msgspec.DecodeError, BodyTooLarge) as error:
            return problem(403, "InvalidRequestFormat", str(error))
        if asked.configurationKeys:
            text = "configurationKeys are deprecated; use environment variables instead"
            return problem(403, "InvalidRequestFormat", text)
        one = self._all.get(name)
        is_external = one is not None and one.is_external
        for event in asked.events:
            if event not in _EVENTS[is_external]:
                is_known = event in _EVENTS[True]
                why = "event not supported for internal extensions" if is_known else "invalid event type"
                return _refused("InvalidEventType", f"{event}: {why}")
        if one is None or not is_external:
            if not self._is_open:
                return _refused("RegistrationClosed", "Extension registration closed already")
            if one is not None:
                return _refused("InvalidExtensionState", "Extension with this name already registered")
            if len(self._all) >= EXTENSIONS_MAX:
                return _refused("TooManyExtensions", f"Extension limit ({EXTENSIONS_MAX}) reached")
            one = self._all[name] = _Extension(name, is_external=False)
        if (refusal := self._step(one, "register", name)) is not None:
            return refusal
        one.events = tuple(dict.fromkeys(asked.events))
        one.identifier = self._ids.uuid()
        self.look()
        return self._registered(one, request)

    def _registered(self, one: _Extension, request: IncomingRequest) -> Response:
        features = [word.strip() for word in request.headers.get("lambda-extension-accept-feature", "").split(",")]
        version = self._version
        told = {"functionName": version.name, "functionVersion": version.version, "handler": version.handler}
        if "accountId" in features:
            told["accountId"] = version.account
        headers = (*JSON, ("Lambda-Extension-Identifier", one.identifier))
        return Response(status=200, headers=headers, body=msgspec.json.encode(told))

    async def _next(self, one: _Extension, request: IncomingRequest) -> Response:
        if one.state is _State.READY and not one.is_polling:  # it was asked for before, by a connection that is gone
            one.state = _State.RUNNING
        if (refusal := self._step(one, "next", one.identifier)) is not None:
            return refusal
        if one.event is None:
            one.owes_next = False
            self.look()
            await self._event_for(one, request)
        event, one.event = one.event, None
        if event is None:
            return problem(500, "InternalServerError", "Internal Server Error")
        if one.state is _State.READY:
            one.state = _State.RUNNING
        return event

    async def _event_for(self, one: _Extension, request: IncomingRequest) -> None:
        """Until it has an event, or nobody would get it."""
        one.arrived.clear()
        one.is_polling = True
        gone = asyncio.ensure_future(request.disconnected())
        came = asyncio.ensure_future(one.arrived.wait())
        try:
            await asyncio.wait((gone, came), return_when=asyncio.FIRST_COMPLETED)
        finally:
            one.is_polling = False
            gone.cancel()
            came.cancel()

    async def _error(self, one: _Extension, request: IncomingRequest, call: str) -> Response:
        error_type = request.headers.get("lambda-extension-function-error-type", "")
        if not error_type:
            return _refused("MissingHeader", "Lambda-Extension-Function-Error-Type not found")
        before = one.state
        if (refusal := self._step(one, call, one.identifier)) is not None:
            return refusal
        if one.state is not before:  # only the first of several counts
            one.error_type = error_type
            one.fatal = failures.EXTENSION_INIT if call == "init/error" else failures.EXTENSION_EXIT
        return accepted()

    async def _subscribe(self, one: _Extension, request: IncomingRequest, api: str) -> Response:
        try:
            subscription = parse(api, await request.read(_BODY_BYTES_MAX))
        except BodyTooLarge:
            return problem(413, "RequestEntityTooLarge", "The subscription is too large.")
        except Invalid as error:
            return problem(400, "ValidationError", str(error))
        if not self._telemetry.is_open:
            return problem(403, f"{api}.NotSupported", f"{api} API subscription is closed already")
        if self._telemetry.api_of(one.name) not in ("", api):
            return problem(400, "ValidationError", "an extension uses the Telemetry API or the Logs API, not both")
        self._telemetry.subscribe(one.name, subscription)
        self._journal.subscribed(api, one.name, subscription.types)
        return Response(status=200, headers=JSON, body=b'"OK"')

    def _event(self, event: Mapping[str, object]) -> Response:
        headers = (*JSON, ("Lambda-Extension-Event-Identifier", self._ids.uuid()))
        return Response(status=200, headers=headers, body=msgspec.json.encode(event))
