"""One environment's log stream: what the platform says and what the function writes, in order.

The function writes to two pipes (its output, and AWS's framed records). Both are read as they fill; before the
platform writes the end of an invocation it empties them, so a line printed before the answer stands before END.
Nothing here blocks or touches a disk: events go to a LogSink, and to the extensions that have subscribed to them.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from paddock.interfaces import Clock, LogSink
from paddock.model.function import FunctionVersion
from paddock.model.log import LogEvent, LogStreamRef
from paddock.observe import invocation_log
from paddock.observe.invocation_log import EnvironmentFacts, InitPhase, Measured, PlatformRecord, Tail
from paddock.observe.output import FrameReader, LineReader
from paddock.worker.failures import Failure
from paddock.worker.telemetry import Telemetry, line_record

_READ_BYTES = 65536
_DRAIN_READS_MAX = 64
_CLOCK_SKEW_MS_MAX = 3_600_000


class Journal:
    """Owns the two descriptors. `stream` names the log stream, for the environment's life. audience: extensions."""

    def __init__(
        self,
        version: FunctionVersion,
        *,
        output: int,
        telemetry: int,
        sink: LogSink,
        clock: Clock,
        stream_id: str,
        runtime_label: str,
        runtime_arn: str,
        audience: Telemetry | None = None,
    ) -> None:
        self._version = version
        self._audience = audience
        self._sink = sink
        self._clock = clock
        shared = version.logging.group not in ("", f"/aws/lambda/{version.name}")
        self.stream = invocation_log.stream_name(
            clock.now().date(), version.version, stream_id, function=version.name if shared else ""
        )
        self._ref = LogStreamRef(
            account=version.account, region=version.region, group=version.log_group, stream=self.stream
        )
        self._json = version.logging.format == "JSON"
        self._facts = EnvironmentFacts(
            runtime_version=runtime_label,
            runtime_version_arn=runtime_arn,
            function_name=version.name,
            function_version=version.version,
            instance_id=self.stream,
            memory_mb=version.memory_mb,
            initialization_type=version.initialization_type,
        )
        self._tail: Tail | None = None
        self._lines = LineReader()
        self._frames = FrameReader()
        self._pipes: dict[int, Callable[[bytes], None]] = {output: self._wrote, telemetry: self._framed}
        self._poll = select.poll()
        loop = asyncio.get_running_loop()
        for fd in self._pipes:
            os.set_blocking(fd, False)
            self._poll.register(fd, select.POLLIN)
            loop.add_reader(fd, self._read_once, fd)

    # -- what the function writes

    def _read_once(self, fd: int) -> None:
        """One read of one pipe."""
        take = self._pipes.get(fd)
        if take is None:
            return
        try:
            data = os.read(fd, _READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if data:
            take(data)
        else:
            self._close_pipe(fd)

    def _close_pipe(self, fd: int) -> None:
        if self._pipes.pop(fd, None) is not None:
            asyncio.get_running_loop().remove_reader(fd)
            self._poll.unregister(fd)
            with contextlib.suppress(OSError):
                os.close(fd)

    def _drain(self) -> None:
        """Empty both pipes, within bounds: a function that never stops writing must not hold its own answer up."""
        for _ in range(_DRAIN_READS_MAX):
            ready = self._poll.poll(0)  # one system call for both, and as a rule the only one
            if not ready:
                return
            for fd, _events in ready:
                self._read_once(fd)

    def _wrote(self, data: bytes) -> None:
        self._print([line for line in self._lines.feed(data) if self._wanted(line, "")])

    def _print(self, lines: list[str], group: str = "function") -> None:
        """Lines of now. group: function or extension."""
        now = self._clock.now()
        now_ms = invocation_log.epoch_ms(now)
        for line in lines if self._is_heard else ():
            self._tell(group, now, line)
        self._emit([LogEvent(now_ms, line) for line in lines])

    @property
    def _is_heard(self) -> bool:
        return self._audience is not None and self._audience.is_wanted

    def _tell(self, group: str, at: datetime, line: str) -> None:
        if self._audience is not None:
            self._audience.put(group, at, group, line_record(line, self._json))

    def _framed(self, data: bytes) -> None:
        now_ms = invocation_log.epoch_ms(self._clock.now())
        events = []
        for framed in self._frames.feed(data):
            at_ms = framed.timestamp_us // 1000
            if abs(at_ms - now_ms) > _CLOCK_SKEW_MS_MAX:
                at_ms = now_ms  # the function's word for the time is only its word
            if self._wanted(framed.message, framed.level):
                events.append(LogEvent(at_ms, framed.message))
                if self._is_heard:
                    self._tell("function", datetime.fromtimestamp(at_ms / 1000, UTC), framed.message)
        self._emit(events)

    def _wanted(self, message: str, level: str) -> bool:
        if not self._json:
            return True
        return invocation_log.application_passes(message, self._version.logging.application_level, level)

    def _flush_partial(self) -> None:
        left = self._lines.flush()
        if left:
            self._print(left)

    # -- what extensions write

    def listen(self, fd: int) -> None:
        """Take over what the environment's extensions print from: their lines stand among the function's."""
        lines = LineReader()

        def wrote(data: bytes) -> None:
            self._print(lines.feed(data), "extension")

        os.set_blocking(fd, False)
        self._pipes[fd] = wrote
        self._poll.register(fd, select.POLLIN)
        asyncio.get_running_loop().add_reader(fd, self._read_once, fd)

    def extension(self, name: str, state: str, events: Sequence[str], error_type: str) -> None:
        """How the initialisation of one of them went."""
        if self.wants_records:
            self._record(invocation_log.platform_extension(self._clock.now(), name, state, events, error_type))
        if not self._json:
            self._text(invocation_log.extension(name, state, events, error_type))

    def subscribed(self, api: str, name: str, types: Sequence[str]) -> None:
        """One of them is told what happens from now on. api: Telemetry or Logs."""
        if self.wants_records:
            self._record(invocation_log.platform_subscription(self._clock.now(), api, name, types))
        if not self._json:
            self._text(invocation_log.subscription(api, name, types))

    # -- what the platform says

    def init_start(self) -> None:
        facts = self._facts
        if self.wants_records:
            self._record(invocation_log.platform_init_start(self._clock.now(), facts))
        if not self._json and facts.runtime_version_arn:  # an image has no runtime that could be named
            self._text(invocation_log.init_start(facts.runtime_version, facts.runtime_version_arn))

    def init_failed(self, init: InitPhase, failure: Failure) -> None:
        self._drain()
        self._flush_partial()
        now = self._clock.now()
        if self.wants_records:
            self._record(invocation_log.platform_init_runtime_done(now, init))
            self._record(invocation_log.platform_init_report(now, init))
        if self._json:
            return
        if failure.kind in ("exit", "entrypoint", "extension"):
            self._say_exit("", failure)
        self._text(invocation_log.init_report(init))

    def init_done(self, init: InitPhase) -> None:
        """A successful initialisation: only JSON functions that want DEBUG see it, and extensions."""
        self._drain()
        if self.wants_records:
            now = self._clock.now()
            self._record(invocation_log.platform_init_runtime_done(now, init))
            self._record(invocation_log.platform_init_report(now, init))

    def restore_start(self) -> None:
        facts = self._facts
        if self._json:
            self._record(invocation_log.platform_restore_start(self._clock.now(), facts))
        else:
            self._text(invocation_log.restore_start(facts.runtime_version, facts.runtime_version_arn))

    def restore_done(self, duration_ms: float, failure: Failure | None) -> None:
        self._drain()
        self._flush_partial()
        status = "success" if failure is None else "timeout" if failure.kind == "timeout" else "error"
        error_type = failure.error_type if failure is not None and failure.kind != "timeout" else ""
        if self._json:
            now = self._clock.now()
            self._record(invocation_log.platform_restore_report(now, duration_ms, status, error_type))
        else:
            self._text(invocation_log.restore_report(duration_ms, status, error_type))

    def begin(self, request_id: str, invoked_arn: str, want_tail: bool) -> None:
        self._tail = Tail() if want_tail else None
        version = self._version.version
        if self._json or self._is_heard:
            self._record(invocation_log.platform_start(self._clock.now(), request_id, invoked_arn, version))
        if not self._json:
            self._text(invocation_log.start(request_id, version))

    @property
    def wants_records(self) -> bool:
        """Whether anybody sees what the platform says as records: the log of a JSON function, or extensions."""
        return self._json or self._is_heard

    def runtime_done(self, request_id: str, measured: Measured, produced_bytes: int) -> None:
        """The runtime is through with the event; its extensions may not be yet. For those who want records."""
        self._drain()
        self._flush_partial()
        now = self._clock.now()
        self._record(invocation_log.platform_runtime_done(now, request_id, measured, produced_bytes=produced_bytes))

    def finish(self, request_id: str, measured: Measured, failure: Failure | None) -> bytes:
        """END and REPORT, after everything the function wrote. The tail, when one was wanted."""
        self._drain()
        self._flush_partial()
        if self._json or self._is_heard:
            self._record(invocation_log.platform_report(self._clock.now(), request_id, measured))
        if not self._json:
            if failure is not None and failure.kind == "timeout":
                self._text(invocation_log.timed_out(self._clock.now(), request_id, float(self._version.timeout_s)))
            elif failure is not None and failure.kind in ("exit", "extension"):
                self._say_exit(request_id, failure)
            self._text(invocation_log.end(request_id), invocation_log.report(request_id, measured))
        tail, self._tail = self._tail, None
        return tail.content() if tail is not None else b""

    def _say_exit(self, request_id: str, failure: Failure) -> None:
        if failure.kind in ("entrypoint", "extension"):
            self._text(invocation_log.failed(request_id, failure.cause, failure.error_type))
        elif failure.cause:
            self._text(invocation_log.exited(request_id, failure.cause, failure.error_type))
        else:
            self._text(invocation_log.exited_without_reason(request_id, failure.error_type))

    def _record(self, record: PlatformRecord) -> None:
        if self._audience is not None:
            self._audience.put("platform", record.at, record.type, record.record)
        if self._json and record.passes(self._version.logging.system_level):
            self._text(record.line())

    def _text(self, *messages: str) -> None:
        now_ms = invocation_log.epoch_ms(self._clock.now())
        self._emit([LogEvent(now_ms, message) for message in messages])

    def _emit(self, events: list[LogEvent]) -> None:
        if not events:
            return
        if self._tail is not None:
            for event in events:
                self._tail.add(event.message)
        self._sink.put(self._ref, events)

    def close(self) -> None:
        """Read what is left and let the descriptors go."""
        self._drain()
        self._flush_partial()
        for fd in list(self._pipes):
            self._close_pipe(fd)
