"""One execution environment: a sandbox holding one function version, and the table of states it moves through.

    start()    mount the code, set limits, initialise: until the runtime asks for its first event
    invoke()   one event in, one result out; exactly one at a time
    shut_down()

A failed initialisation is not an error of `start`: as on Lambda the failure is logged, the environment is reset, and
the first invocation initialises again within its own time ("suppressed init"). After a crash, a timeout or an
out-of-memory kill every process in the sandbox is ended and the runtime started anew; /tmp stays, memory does not.
A handler's own exception leaves the environment as it is.

The event is over when the runtime and every extension that takes part have asked for the next one. The caller has its
answer as soon as the runtime is through; what extensions do after that is of the event's duration, and its limit.

Between events the processes are frozen (freezing.py).
"""

from __future__ import annotations

import asyncio
import logging
import math
import signal
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from paddock.interfaces import Clock, Ended, Ids, LogSink, ResponseSink, Sandbox, SandboxFailed
from paddock.model.environment import EnvironmentState, step
from paddock.model.function import FunctionVersion
from paddock.model.invocation import Invocation, InvocationResult
from paddock.model.session import Credentials
from paddock.observe.invocation_log import InitPhase, Measured
from paddock.worker import failures
from paddock.worker.cpu import CPU_PERIOD_US, cpu_quota_us
from paddock.worker.extensions import Extensions, ShutdownLimits
from paddock.worker.facts import RuntimeFacts
from paddock.worker.failures import Failure
from paddock.worker.frames import RESPONSE_BYTES_MAX, FramePort
from paddock.worker.freezing import Freezing
from paddock.worker.journal import Journal
from paddock.worker.lateness import Lateness
from paddock.worker.outcome import Answered, measured, result_of
from paddock.worker.runtime_api import HttpPort
from paddock.worker.telemetry import Telemetry
from paddock.worker.variables import boot_settings, may_speak_http, of_extensions, variables

log = logging.getLogger("paddock.environment")

RESET_TIMEOUT_S = 10.0
RECOVERY_GRACE_S = 0.25
SHORT_EVENT_MS = 5.0
MEASURED_RECENTLY_S = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class EnvironmentSettings:
    """init_timeout_s: of the init phase. freeze_after_idle_s: the grace. cpu_by_memory: whether memory buys CPU.

    billing_granularity_ms, init_is_billed: how REPORT's billed duration comes about. shutdown: how long it may take
    to end.
    """

    init_timeout_s: float
    freeze_after_idle_s: float
    cpu_by_memory: bool
    endpoint_port: int
    credentials: Callable[[FunctionVersion], Credentials]
    billing_granularity_ms: int = 1
    init_is_billed: bool = True
    shutdown: ShutdownLimits = ShutdownLimits()


def _retrieve(task: asyncio.Future[None]) -> None:  # its failure needs no further word
    if not task.cancelled():
        task.exception()


class Environment:
    """See the module's page. `on_terminated` is called once, when nothing of it is left.

    `on_free` is called after each event, when it is ready for another; after a crash or a timeout that may be later
    than the event's result.
    """

    idle_since = 0.0
    was_started_ahead = False
    memory_used_bytes = 0
    _measured_at = -1.0
    _memory_used = 1  # megabytes

    def __init__(
        self,
        sandbox: Sandbox,
        version: FunctionVersion,
        runtime: RuntimeFacts,
        *,
        settings: EnvironmentSettings,
        clock: Clock,
        sink: LogSink,
        ids: Ids,
        number: int,
        stream_id: str,
        serve: Callable[[HttpPort, Sandbox, FunctionVersion], Awaitable[Callable[[], None]]],
    ) -> None:
        self.version = version
        self.key = version.environment_key
        self.number = number
        self.state = EnvironmentState.STARTING
        self.on_terminated: Callable[[Environment], None] | None = None
        self.on_free: Callable[[Environment], None] | None = None
        self._sandbox = sandbox
        self._runtime = runtime
        self._settings = settings
        self._clock = clock
        self._serve = serve
        self._telemetry = Telemetry(sandbox, clock)
        self._journal = Journal(
            version,
            output=sandbox.output,
            telemetry=sandbox.telemetry,
            sink=sink,
            clock=clock,
            stream_id=stream_id,
            runtime_label=runtime.label,
            runtime_arn=runtime.arn,
            audience=self._telemetry,
        )
        self._freezing = Freezing(sandbox, self._telemetry, clock, settings.freeze_after_idle_s)
        self._frames = FramePort(self)
        self._extensions = Extensions(
            sandbox,
            version,
            journal=self._journal,
            telemetry=self._telemetry,
            clock=clock,
            ids=ids,
            lost=self._lost,
            request_id=lambda: self.request_id,
        )
        self._http = HttpPort(self, may_speak_http(version, runtime), self._extensions.handle)
        self._ending: asyncio.Future[None] | None = None
        self._handed_over: socket.socket | None = None
        self._stop_serving: Callable[[], None] | None = None
        self._first_next: asyncio.Future[Failure | None] | None = None
        self._is_inside = False
        self._started = 0.0
        self._ended: Ended | None = None
        self._answered: Answered | Failure | None = None
        self._current: Invocation | None = None
        self._sink: ResponseSink | None = None
        self._needs_init = True
        self._loss: Failure | None = None
        self._lateness = Lateness(self._late)
        self._init_ms: float | None = None
        self._oom_seen = 0
        sandbox.on_exit = self._exited
        sandbox.on_gone = self._gone

    # -- its life -----------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Assign the sandbox and initialise. Raises SandboxFailed; a function's failed init is no exception."""
        version = self.version
        try:
            await self._assign(version.memory_mb)
            self._journal.init_start()
            failure, took_ms = await self._initialise(self._settings.init_timeout_s)
        except SandboxFailed:
            self.shut_down()
            raise
        if failure is None:
            # What was initialised ahead is no part of its first event, neither in its report nor on its bill.
            self._init_ms = None if version.provisioned_for else took_ms
            self._journal.init_done(InitPhase(duration_ms=took_ms, initialization_type=version.initialization_type))
        else:
            await self._after_failed_init(failure, took_ms, "init")
        if self.state is EnvironmentState.INITIALIZING:
            self._become_ready()

    async def _assign(self, memory_mb: int) -> None:
        version = self.version
        layers = version.layers_digest
        assignment = self._sandbox.assign(
            version.code.digest, memory_mb, version.ephemeral_mb, version.network, version.file_systems, layers
        )
        self._assigning = asyncio.ensure_future(assignment)
        self._assigning.add_done_callback(_retrieve)  # what comes before it may fail, and nobody wait for it
        self._stop_serving = await self._serve(self._http, self._sandbox, version)
        if self.is_ending:
            raise SandboxFailed("it was ended before it started")
        await self._connect()
        await self._assigning
        if self.is_ending:
            raise SandboxFailed("it was ended while it started")
        self.state = step(self.state, EnvironmentState.INITIALIZING)

    async def _initialise(self, limit_s: float) -> tuple[Failure | None, float]:
        """Boot the function in the waiting runtime. (None, milliseconds) when it asks for its first event."""
        if self._sandbox.exit_status is not None:  # while it waited; it will not tell again
            return failures.exited(self.request_id, self._sandbox.exit_status, False), 0.0
        if self.is_ending:  # nobody is left who could ask for an event
            return failures.exited(self.request_id, signal.SIGKILL, False), 0.0
        loop = asyncio.get_running_loop()
        self._first_next = loop.create_future()
        self._loss = None
        if self._settings.cpu_by_memory:  # Lambda lends the init phase at least one whole vCPU
            self._sandbox.limit_cpu(max(CPU_PERIOD_US, cpu_quota_us(self.version.memory_mb)))
        started = self._clock.monotonic()
        assigned = variables(
            self.version,
            stream=self._journal.stream,
            endpoint_port=self._settings.endpoint_port,
            managed=self._runtime.managed,
            credentials=self._settings.credentials(self.version),
        )
        settings = boot_settings(self.version, assigned, self.request_id)
        data_bytes_max = 0 if self._sandbox.limits_memory else self.version.memory_mb << 20
        if data_bytes_max:  # the next best: the runtime limits itself before it loads the function
            settings["data_bytes_max"] = data_bytes_max
        failure: Failure | None
        try:
            async with asyncio.timeout(limit_s):
                failure = await self._extensions.launch(of_extensions(assigned), data_bytes_max)
                if failure is None:
                    self._frames.assign(settings)
                    failure = await self._first_next or await self._extensions.ready()
        except TimeoutError:
            failure = Failure("timeout", "", b"")
        finally:
            self._first_next = None
            self._extensions.report()
        took_ms = (self._clock.monotonic() - started) * 1000
        if self._settings.cpu_by_memory:
            self._sandbox.limit_cpu(cpu_quota_us(self.version.memory_mb))
        return failure or self._loss, took_ms  # a runtime may ask for an event and leave in one breath

    async def _connect(self) -> None:
        """Frames over the sandbox's channel, which the transport owns, and closes, from the first moment on."""
        loop = asyncio.get_running_loop()
        frames = self._frames = FramePort(self)
        channel = self._handed_over = self._sandbox.channel
        channel.setblocking(False)
        await loop.create_unix_connection(lambda: frames, sock=channel)
        frames.connected()

    async def _after_failed_init(self, failure: Failure, took_ms: float, phase: str) -> None:
        status = "timeout" if failure.kind == "timeout" else "error"
        init = InitPhase(
            duration_ms=took_ms,
            phase=phase,
            status=status,
            error_type=failure.error_type,
            initialization_type=self.version.initialization_type,
        )
        self._journal.init_failed(init, failure)
        await self._reset("timeout" if failure.kind == "timeout" else "failure")

    async def _reset(self, reason: str) -> None:
        """Everything in the sandbox ends; a fresh runtime waits for the next initialisation. reason: for extensions."""
        self._needs_init = True
        await self._extensions.shut_down(reason, self._settings.shutdown)
        self._extensions.forget()
        self._frames.close()
        if self._settings.cpu_by_memory:  # to end takes time, too, and a fork bomb has used up its share
            self._sandbox.limit_cpu(CPU_PERIOD_US)
        try:
            async with asyncio.timeout(RESET_TIMEOUT_S):
                await self._sandbox.reset()
        except (SandboxFailed, TimeoutError) as error:
            log.warning("%s: could not be reset and is ended: %s", self.version.version_arn, error or "too slow")
            self.shut_down()
        self._http.disconnect()  # after their end: one that lived on would ask again, as if it were the next

    def _become_ready(self) -> None:
        self.state = step(self.state, EnvironmentState.READY)
        self.idle_since = self._clock.monotonic()
        self._freezing.rest(self.idle_since)

    def shut_down(self) -> None:
        """End it, whatever it does. Repeats are harmless."""
        if self.is_ending:
            return
        self.state = step(self.state, EnvironmentState.SHUTTING_DOWN)
        self._freezing.wake()
        if self._extensions.exist:
            self._ending = asyncio.ensure_future(self._wind_down())
        else:
            self._sandbox.stop()

    async def _wind_down(self) -> None:
        """The phase SHUTDOWN, then the end, whatever is left of it."""
        try:
            await self._extensions.shut_down("spindown", self._settings.shutdown)
        finally:
            self._sandbox.stop()

    def _gone(self) -> None:
        self._settle(failures.exited(self.request_id, signal.SIGKILL, False))
        if self.state is not EnvironmentState.SHUTTING_DOWN:
            self.state = step(self.state, EnvironmentState.SHUTTING_DOWN)
        self.state = step(self.state, EnvironmentState.TERMINATED)
        self._freezing.close()
        self._lateness.close()
        if self._ending is not None:
            self._ending.cancel()
        self._extensions.forget()
        self._journal.close()
        self._frames.close()
        if self._sandbox.channel is not self._handed_over:
            self._sandbox.channel.close()
        self._http.disconnect()
        if self._stop_serving is not None:
            self._stop_serving()
        else:
            self._sandbox.runtime_api.close()
            self._sandbox.aws_api.close()
        if self.on_terminated is not None:
            self.on_terminated(self)

    @property
    def is_usable(self) -> bool:
        return self.state is EnvironmentState.READY

    @property
    def is_initialised(self) -> bool:
        """Whether the next event finds the function loaded."""
        return not self._needs_init and not self.is_ending

    @property
    def is_ending(self) -> bool:
        return self.state in (EnvironmentState.SHUTTING_DOWN, EnvironmentState.TERMINATED)

    # -- one event ----------------------------------------------------------------------------------------------

    def begin(self, invocation: Invocation, ended: Ended, sink: ResponseSink | None = None) -> None:
        """Run one event to its end, which `ended` hears of: a result, or what went wrong with the environment.

        Raises IllegalTransition when one is inside already. sink: for what is streamed.
        """
        self.state = step(self.state, EnvironmentState.INVOKING)
        self._freezing.wake()
        self._current, self._sink, self._ended = invocation, sink, ended
        self._started = self._clock.monotonic()
        if self._needs_init:
            self._aside = asyncio.ensure_future(self._guarded(self._begin_again(invocation)))
            return
        try:
            self._begin_initialised(invocation, float(self.version.timeout_s))
        except BaseException as error:
            self._break_off(error)

    def _begin_initialised(self, invocation: Invocation, limit_s: float) -> None:
        """Give the event to the runtime. Its answer is whole once it has asked for the next event as well."""
        self._journal.begin(invocation.request_id, invocation.invoked_arn, invocation.tail)
        self._answered = None
        self._is_inside = True
        deadline_ms = int((self._clock.now().timestamp() + limit_s) * 1000)
        self._lateness.set(limit_s)
        self._extensions.invoke(invocation, deadline_ms)
        if self._http.was_asked:
            self._http.invoke(invocation, deadline_ms)
        else:
            self._frames.invoke(invocation, deadline_ms, wants_stream=self._sink is not None)

    async def _begin_again(self, invocation: Invocation) -> None:
        """The same for one that has to be initialised first."""
        timeout_s = float(self.version.timeout_s)
        failure, spent_ms = await self._initialise_again(timeout_s)
        if failure is None:
            self._begin_initialised(invocation, max(0.0, timeout_s - spent_ms / 1000))
        else:
            self._journal.begin(invocation.request_id, invocation.invoked_arn, invocation.tail)
            await self._conclude(invocation, failure, was_initialised=False)

    async def _guarded(self, work: Awaitable[None]) -> None:
        try:
            await work
        except BaseException as error:
            self._break_off(error)
            if isinstance(error, asyncio.CancelledError):
                raise

    def _end_with(self, outcome: Answered | Failure) -> None:
        """The runtime's part is over. Where nobody is left to be waited for, so is the event, at once."""
        invocation = self._current
        if not self._is_inside or invocation is None:
            return
        self._is_inside = False
        if isinstance(outcome, Failure) or self._needs_init or self._extensions.are_busy:
            rest = self._conclude(invocation, outcome, was_initialised=True)
            self._aside = asyncio.ensure_future(self._guarded(rest))
            return
        try:
            self._tell_done(invocation, outcome)
            duration_ms = (self._clock.monotonic() - self._started) * 1000
            result = self._finish(invocation, outcome, None, duration_ms)
            self._event_over()
        except BaseException as error:
            self._break_off(error)
        else:
            self._tell_end(result)

    def _break_off(self, error: BaseException) -> None:
        """Whatever state it is in, nobody may use it again."""
        self._is_inside = False
        self.shut_down()
        self._tell_end(error)

    def _tell_end(self, result: InvocationResult | BaseException) -> None:
        ended, self._ended = self._ended, None
        if ended is not None:
            ended(result)

    def _tell_done(self, invocation: Invocation, outcome: Answered | Failure) -> None:
        """For those who want to know when the runtime was through."""
        if not self._journal.wants_records:
            return
        failure = outcome if isinstance(outcome, Failure) else None
        done = self._measured(failure, (self._clock.monotonic() - self._started) * 1000, None)
        produced_bytes = len(outcome.payload if isinstance(outcome, Failure) else outcome.body)
        produced_bytes += 0 if self._sink is None else self._sink.taken_bytes
        self._journal.runtime_done(invocation.request_id, done, produced_bytes)

    async def _conclude(self, invocation: Invocation, outcome: Answered | Failure, was_initialised: bool) -> None:
        """From the runtime's answer, or its end, to the end of the event, where others have a part in that."""
        started = self._started
        failure = outcome if isinstance(outcome, Failure) else None
        timeout_s = float(self.version.timeout_s)
        if not isinstance(outcome, Failure) and not invocation.tail and self._extensions.are_busy:
            # The caller has waited for what it asked for.
            report = self._measured(None, (self._clock.monotonic() - started) * 1000, self._init_ms)
            self._tell_end(result_of(outcome, self.version.version, report, b""))
        self._tell_done(invocation, outcome)
        if failure is None and self._extensions.are_busy:
            failure = await self._extensions_done(timeout_s - (self._clock.monotonic() - started))
        timed_out = failure is not None and failure.kind == "timeout"
        duration_ms = timeout_s * 1000 if timed_out else (self._clock.monotonic() - started) * 1000
        result = self._finish(invocation, outcome, failure, duration_ms)
        ended, self._ended = self._ended, None  # the next event may begin, and set its own, while we wait
        try:
            if was_initialised and (timed_out or self._needs_init):  # a runtime may also leave after its answer
                self._recovery = asyncio.ensure_future(self._recover("timeout" if timed_out else "failure"))
                # As a rule it takes milliseconds, and the next event finds /tmp as it was; none waits for a fork bomb.
                await asyncio.wait((self._recovery,), timeout=RECOVERY_GRACE_S)
            else:
                self._event_over()
        finally:
            if ended is not None:
                ended(result)

    async def _extensions_done(self, limit_s: float) -> Failure | None:
        """They have what is left of the event's time."""
        try:
            async with asyncio.timeout(max(0.0, limit_s)):
                return await self._extensions.done()
        except TimeoutError:
            return failures.timed_out(self.request_id, float(self.version.timeout_s))

    async def _recover(self, reason: str) -> None:
        await self._reset(reason)
        self._event_over()

    def _event_over(self) -> None:
        self._current = self._sink = None
        if self.state is EnvironmentState.INVOKING:
            self._become_ready()
            if self.on_free is not None:
                self.on_free(self)

    async def _initialise_again(self, timeout_s: float) -> tuple[Failure | None, float]:
        """The suppressed init: within the event's own time, billed as its duration."""
        if self._current is None:
            raise AssertionError("no event")
        await self._connect()
        failure, took_ms = await self._initialise(timeout_s)
        if failure is None:
            return None, took_ms
        if failure.kind == "timeout":
            failure = failures.timed_out(self._current.request_id, timeout_s)
        await self._after_failed_init(failure, took_ms, "invoke")
        if failure.kind == "timeout":
            return failure, took_ms
        return Failure("init", failure.error_type, failure.payload, failure.cause), took_ms

    def _late(self) -> None:
        if self._is_inside:
            self._end_with(failures.timed_out(self.request_id, float(self.version.timeout_s)))

    def _finish(
        self, invocation: Invocation, outcome: Answered | Failure, failure: Failure | None, duration_ms: float
    ) -> InvocationResult:
        """Its last words in the log. failure: of the runtime, or of an extension after the runtime's answer."""
        init_ms, self._init_ms = self._init_ms, None
        report = self._measured(failure, duration_ms, init_ms)
        tail = self._journal.finish(invocation.request_id, report, failure)
        return result_of(outcome, self.version.version, report, tail)

    def _measured(self, failure: Failure | None, duration_ms: float, init_ms: float | None) -> Measured:
        settings = self._settings
        return measured(
            failure,
            duration_ms,
            init_ms,
            memory_mb=self.version.memory_mb,
            memory_used_mb=self._memory_used_mb(duration_ms),
            granularity_ms=settings.billing_granularity_ms,
            init_is_billed=settings.init_is_billed,
        )

    def measure_memory(self) -> None:
        """Bring memory_used_bytes up to date, as events do at their end."""
        self.memory_used_bytes = self._sandbox.memory_peak_bytes()
        self._memory_used = min(self.version.memory_mb, max(1, math.ceil(self.memory_used_bytes / (1 << 20))))
        self._measured_at = self._clock.monotonic()

    def _memory_used_mb(self, duration_ms: float) -> int:
        """A short event so soon after the last measurement can hardly have changed it: asking costs a system call."""
        if duration_ms > SHORT_EVENT_MS or self._clock.monotonic() - self._measured_at > MEASURED_RECENTLY_S:
            self.measure_memory()
        return self._memory_used

    # -- what the runtime tells (frames.RuntimeEvents) -------------------------------------------------------------

    def asked_next(self) -> None:
        if self._first_next is not None:
            if not self._first_next.done():
                self._needs_init = False
                self._first_next.set_result(None)
        elif self._answered is not None:
            self._end_with(self._answered)

    def answered(self, request_id: str, body: bytes) -> None:
        if request_id and request_id == self.current_request_id:
            self._answered = Answered(body, False)

    def erred(self, request_id: str, body: bytes) -> None:
        if request_id and request_id == self.current_request_id:
            self._answered = Answered(body, True)

    def oversized(self, request_id: str, limit_bytes: int = RESPONSE_BYTES_MAX) -> None:
        """The event is over when the runtime asks for the next or leaves: several clients leave, and then no event
        may be given to them any more."""
        if request_id and request_id == self.current_request_id:
            self._answered = failures.oversized(limit_bytes)

    def cut_short(self, request_id: str, body: bytes, error_type: str) -> None:
        if request_id and request_id == self.current_request_id:
            self._answered = Answered(body, True, error_type)

    def sink_for(self, request_id: str) -> ResponseSink | None:
        return self._sink if request_id and request_id == self.current_request_id else None

    def init_failed(self, body: bytes, error_type: str) -> None:
        if self._first_next is not None and not self._first_next.done():
            self._first_next.set_result(failures.init_failed(body, error_type))

    def not_started(self, cause: str) -> None:
        if self._first_next is not None and not self._first_next.done():
            self._first_next.set_result(failures.not_started(self.request_id, cause))

    def told_of_snapshot(self, kind: int) -> None:
        self.nonsense("a word about a snapshot that nobody asked for")

    def nonsense(self, what: str) -> None:
        log.warning("%s: its runtime sent %s", self.version.version_arn, what)
        self._lost(failures.exited(self.request_id, 1 << 8, False))

    @property
    def current_request_id(self) -> str:
        """Of the event inside that is still without an answer, or ""."""
        return self.request_id if self._is_inside and self._answered is None else ""

    @property
    def is_initialising(self) -> bool:
        return self._first_next is not None

    @property
    def request_id(self) -> str:
        return self._current.request_id if self._current is not None else ""

    def _exited(self, wait_status: int) -> None:
        kills = self._sandbox.oom_kills()
        out_of_memory, self._oom_seen = kills > self._oom_seen, kills
        self._lost(failures.exited(self.request_id, wait_status, out_of_memory))

    def _lost(self, failure: Failure) -> None:
        """The runtime can take no further event."""
        self._needs_init = True
        self._loss = failure
        self._settle(failure)
        if self.state is EnvironmentState.READY:
            self.shut_down()  # it died between events; nobody is waiting for it

    def _settle(self, failure: Failure) -> None:
        """Whoever waits for the runtime learns that it will not come; an answer that it gave before stays one."""
        if self._first_next is not None and not self._first_next.done():
            self._first_next.set_result(failure)
        self._extensions.settle(failure)
        self._end_with(self._answered or failure)
