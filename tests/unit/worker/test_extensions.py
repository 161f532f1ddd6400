"""Extensions beside a scripted runtime: their API, their part in each phase, and what happens when they fail."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from paddock.model.environment import EnvironmentState
from paddock.model.extension import Launched
from paddock.model.function import CodeArtifact, LayerUse
from paddock.model.invocation import InvocationResult
from paddock.wire.http1 import IncomingRequest
from paddock.wire.messages import Headers, Request, Response
from paddock.worker.environment import Environment
from paddock.worker.extensions import API, ShutdownLimits
from tests.unit.worker.world import (
    SETTINGS,
    START,
    FakeSandbox,
    KeepingSink,
    Runtime,
    Script,
    echo,
    environment,
    event,
    invocation,
    settle,
    until,
    version,
)

LAYER = LayerUse(
    arn="arn:aws:lambda:us-east-1:000000000000:layer:l:1",
    code=CodeArtifact(digest="b" * 64, size_bytes=1, unzipped_bytes=1),
)
LAYERED = version(layers=(LAYER,), timeout_s=30)
QUICK = dataclasses.replace(SETTINGS, shutdown=ShutdownLimits(runtime_s=0.05, internal_s=0.05, external_s=0.1))


def run(main: Callable[[], Awaitable[None]]) -> None:
    async def whole() -> None:
        await main()

    asyncio.run(whole())


class Extension:
    """One that talks to the environment's port."""

    def __init__(self, made: Environment, name: str) -> None:
        self._port = made._http
        self.name = name
        self.identifier = ""

    async def call(self, method: str, path: str, body: bytes = b"", **headers: str) -> Response:
        fields = {name.replace("_", "-"): value for name, value in headers.items()}
        if self.identifier:
            fields.setdefault("lambda-extension-identifier", self.identifier)
        request = Request(method=method, path=API + path, headers=Headers(fields.items()), body=body)
        return await self._port.handle(IncomingRequest.of(request))

    async def register(self, *events: str, **headers: str) -> Response:
        body = json.dumps({"events": events}).encode()
        answer = await self.call("POST", "register", body, lambda_extension_name=self.name, **headers)
        if answer.status == 200:
            self.identifier = dict(answer.headers)["Lambda-Extension-Identifier"]
        return answer

    async def next(self) -> dict[str, Any]:
        answer = await self.call("GET", "event/next")
        assert answer.status == 200, answer.body
        assert dict(answer.headers)["Lambda-Extension-Event-Identifier"]
        return content(answer)


def content(answer: Response) -> dict[str, Any]:
    assert isinstance(answer.body, bytes)
    found: dict[str, Any] = json.loads(answer.body)
    return found


def problem(answer: Response) -> tuple[int, str]:
    return answer.status, content(answer)["errorType"]


async def started(made: Environment, sandbox: FakeSandbox, *names: str, events: str = "INVOKE SHUTDOWN") -> Any:
    """The environment with these external extensions, ready: (extensions, their polls for the first event)."""
    sandbox.launched = Launched(names=names)
    starting = asyncio.ensure_future(made.start())
    await until(lambda: "launch" in sandbox.calls)
    await settle()
    extensions = [Extension(made, name) for name in names]
    for one in extensions:
        assert (await one.register(*events.split())).status == 200
    polls = [asyncio.ensure_future(one.next()) for one in extensions]
    await starting
    assert made.is_usable
    return extensions, polls


# -- initialisation -------------------------------------------------------------------------------------------------


def test_the_runtime_starts_once_all_have_registered_and_all_must_be_ready() -> None:
    async def main() -> None:
        booted = asyncio.Event()

        async def boots(sandbox: FakeSandbox, runtime: Runtime) -> None:
            await runtime.assigned()
            booted.set()
            await runtime.next()
            await asyncio.Event().wait()

        sink = KeepingSink()
        async with environment(boots, of=LAYERED, sink=sink) as (made, sandbox):
            sandbox.launched = Launched(names=("one", "two"))
            starting = asyncio.ensure_future(made.start())
            await until(lambda: "launch" in sandbox.calls)
            one, two = Extension(made, "one"), Extension(made, "two")
            await settle()
            assert (await one.register("INVOKE")).status == 200
            await settle()
            assert not booted.is_set()
            assert (await two.register("SHUTDOWN", "INVOKE")).status == 200
            await asyncio.wait_for(booted.wait(), 10)
            first = asyncio.ensure_future(one.next())
            await settle()
            assert not starting.done()
            second = asyncio.ensure_future(two.next())
            await starting
            assert made.is_usable
            assert "AWS_LAMBDA_RUNTIME_API" in sandbox.extensions_environment
            left_out = {"LAMBDA_TASK_ROOT", "AWS_EXECUTION_ENV", "_HANDLER", "AWS_LAMBDA_LOG_STREAM_NAME"}
            assert not left_out & set(sandbox.extensions_environment)
            assert sink.lines[1:] == [
                "EXTENSION\tName: one\tState: Ready\tEvents: [INVOKE]\n",
                "EXTENSION\tName: two\tState: Ready\tEvents: [SHUTDOWN, INVOKE]\n",
            ]
            first.cancel()
            second.cancel()

    run(main)


def test_without_layers_nothing_is_asked_of_the_sandbox() -> None:
    async def main() -> None:
        async with environment() as (made, sandbox):
            await made.start()
            assert "launch" not in sandbox.calls
            made.shut_down()
            await settle()
            assert "terminate" not in sandbox.calls, "without extensions the end takes no time"
            assert made.state is EnvironmentState.TERMINATED

    run(main)


def test_what_registration_answers() -> None:
    async def main() -> None:
        async with environment(echo, of=LAYERED) as (made, sandbox):
            sandbox.launched = Launched(names=("one",))
            starting = asyncio.ensure_future(made.start())
            await until(lambda: "launch" in sandbox.calls)
            await settle()
            one = Extension(made, "one")
            assert problem(await one.call("POST", "register", b"{}")) == (403, "Extension.InvalidExtensionName")
            bad = await one.call("POST", "register", b"no json", lambda_extension_name="one")
            assert problem(bad) == (403, "InvalidRequestFormat")
            old = await one.call("POST", "register", b'{"configurationKeys":["a"]}', lambda_extension_name="one")
            assert problem(old) == (403, "InvalidRequestFormat")
            assert problem(await one.register("PARTY")) == (403, "Extension.InvalidEventType")
            assert problem(await one.call("GET", "event/next")) == (403, "Extension.MissingExtensionIdentifier")
            odd = await one.call("GET", "event/next", lambda_extension_identifier="me")
            assert problem(odd) == (403, "Extension.InvalidExtensionIdentifier")
            unknown = await one.call("GET", "event/next", lambda_extension_identifier="0" * 36)
            assert problem(unknown) == (403, "Extension.UnknownExtensionIdentifier")
            inside = Extension(made, "inside")
            assert problem(await inside.register("SHUTDOWN")) == (403, "Extension.InvalidEventType")
            assert (await inside.register("INVOKE")).status == 200
            assert problem(await Extension(made, "inside").register()) == (403, "Extension.InvalidExtensionState")
            told = content(await one.register("INVOKE", lambda_extension_accept_feature="x, accountId"))
            assert told == {
                "functionName": "fn",
                "functionVersion": "$LATEST",
                "handler": "app.handler",
                "accountId": "000000000000",
            }
            again = await one.register("INVOKE")
            assert problem(again) == (403, "Extension.InvalidExtensionState")
            assert "from Registered to Registered failed for extension one" in content(again)["errorMessage"]
            polls = [asyncio.ensure_future(each.next()) for each in (one, inside)]
            await starting
            late = await Extension(made, "late").register("INVOKE")
            assert problem(late) == (403, "Extension.RegistrationClosed")
            twice = await one.call("GET", "event/next")
            assert problem(twice) == (403, "Extension.InvalidExtensionState")
            assert (await one.call("GET", "nothing")).status == 404
            for poll in polls:
                poll.cancel()

    run(main)


def test_eleven_are_too_many() -> None:
    async def main() -> None:
        async def boots(sandbox: FakeSandbox, runtime: Runtime) -> None:
            await runtime.assigned()
            await asyncio.Event().wait()

        async with environment(boots) as (made, _):
            starting = asyncio.ensure_future(made.start())
            await until(lambda: made.state is EnvironmentState.INITIALIZING)
            await settle()
            for number in range(10):
                assert (await Extension(made, f"e{number}").register("INVOKE")).status == 200
            assert problem(await Extension(made, "e10").register()) == (403, "Extension.TooManyExtensions")
            starting.cancel()

    run(main)


def test_one_that_cannot_be_started() -> None:
    async def main() -> None:
        sink = KeepingSink()
        async with environment(echo, of=LAYERED, sink=sink, settings=QUICK) as (made, sandbox):
            sandbox.launched = Launched(("a",), -1, "a", "PermissionDenied", "fork/exec a: permission denied")
            await made.start()
            assert made.is_usable, "the first event initialises again"
            result = await event(made, invocation(of=LAYERED))
        assert json.loads(result.payload) == {
            "errorType": "Extension.LaunchError",
            "errorMessage": "RequestId: r-1 Error: fork/exec a: permission denied",
        }
        assert sink.lines[1] == "EXTENSION\tName: a\tState: LaunchError\tEvents: []\tError Type: PermissionDenied\n"
        assert "Status: error\tError Type: Extension.LaunchError" in "".join(sink.lines)

    run(main)


def test_one_that_never_registers() -> None:
    async def main() -> None:
        sink = KeepingSink()
        settings = dataclasses.replace(QUICK, init_timeout_s=0.0)
        async with environment(echo, of=version(layers=(LAYER,), timeout_s=0), sink=sink, settings=settings) as (
            made,
            sandbox,
        ):
            sandbox.launched = Launched(names=("one",))
            await made.start()
            assert "Phase: init\tStatus: timeout" in "".join(sink.lines)
            assert "State: Started" in sink.lines[1]
            result = await event(made, invocation())
            assert json.loads(result.payload)["errorType"] == "Sandbox.Timedout"

    run(main)


@pytest.mark.parametrize(("call", "error_type"), [("init/error", "InitError"), ("exit/error", "ExitError")])
def test_one_that_reports_an_error_and_exits(call: str, error_type: str) -> None:
    async def main() -> None:
        sink = KeepingSink()
        async with environment(echo, of=LAYERED, sink=sink, settings=QUICK) as (made, sandbox):
            sandbox.launched = Launched(names=("one",))
            starting = asyncio.ensure_future(made.start())
            await until(lambda: "launch" in sandbox.calls)
            await settle()
            one = Extension(made, "one")
            await one.register("INVOKE")
            assert problem(await one.call("POST", call, b"{}")) == (403, "Extension.MissingHeader")
            answer = await one.call("POST", call, b"{}", lambda_extension_function_error_type="Extension.Mine")
            assert (answer.status, answer.body) == (202, b'{"status":"OK"}')
            assert sandbox.on_extension_exit is not None
            sandbox.on_extension_exit("one", 3 << 8)
            sandbox.launched = Launched()
            await starting
            assert made.is_usable
        text = "".join(sink.lines)
        assert f"State: {error_type}\tEvents: [INVOKE]\tError Type: Extension.Mine" in text
        assert f"RequestId:  Error: exit code 3\nExtension.{error_type}\n" in text

    run(main)


# -- events ---------------------------------------------------------------------------------------------------------


def test_an_event_reaches_those_who_want_it() -> None:
    async def main() -> None:
        async with environment(echo, of=LAYERED) as (made, sandbox):
            extensions, polls = await started(made, sandbox, "one")
            running = asyncio.ensure_future(event(made, invocation(of=LAYERED, payload=b"1", trace_id="Root=1")))
            assert await polls[0] == {
                "eventType": "INVOKE",
                "deadlineMs": int((START.timestamp() + 30) * 1000),
                "requestId": "r-1",
                "invokedFunctionArn": LAYERED.function_arn,
                "tracing": {"type": "X-Amzn-Trace-Id", "value": "Root=1"},
            }
            assert (await running).payload == b"1"
            again = asyncio.ensure_future(extensions[0].next())
            await until(lambda: made.is_usable)
            again.cancel()

    run(main)


def test_the_caller_has_the_answer_while_extensions_go_on_and_they_are_billed() -> None:
    async def main() -> None:
        from_clock: list[Any] = []
        sink = KeepingSink()
        free: list[Environment] = []
        async with environment(echo, of=LAYERED, sink=sink) as (made, sandbox):
            made.on_free = free.append
            clock = made._clock
            from_clock.append(clock)
            extensions, polls = await started(made, sandbox, "one")
            result = await event(made, invocation(of=LAYERED, payload=b"1"))
            assert result.payload == b"1"
            await polls[0]
            assert made.state is EnvironmentState.INVOKING
            assert not free
            assert not any(line.startswith("REPORT") for line in sink.lines)
            clock.seconds += 2.0  # type: ignore[attr-defined]  # a fake behind the Protocol
            again = asyncio.ensure_future(extensions[0].next())
            await until(lambda: free)
            report = next(line for line in sink.lines if line.startswith("REPORT"))
            assert "Duration: 2000.00 ms\tBilled Duration: 2000 ms" in report
            assert "Status" not in report
            again.cancel()

    run(main)


def test_who_wants_the_log_waits_for_its_end() -> None:
    async def main() -> None:
        async with environment(echo, of=LAYERED) as (made, sandbox):
            extensions, polls = await started(made, sandbox, "one")
            running = asyncio.ensure_future(event(made, invocation(of=LAYERED, tail=True)))
            await polls[0]
            await settle()
            assert not running.done()
            again = asyncio.ensure_future(extensions[0].next())
            assert b"REPORT" in (await running).log_tail
            again.cancel()

    run(main)


def test_one_without_interest_in_events_is_not_waited_for() -> None:
    async def main() -> None:
        async with environment(echo, of=LAYERED) as (made, sandbox):
            _, polls = await started(made, sandbox, "one", events="SHUTDOWN")
            await event(made, invocation(of=LAYERED))
            assert made.is_usable
            assert not polls[0].done()
            polls[0].cancel()

    run(main)


def test_one_that_does_not_come_back_is_a_timeout_after_the_answer() -> None:
    async def main() -> None:
        sink = KeepingSink()
        quick = version(layers=(LAYER,), timeout_s=1)
        async with environment(echo, of=quick, sink=sink, settings=QUICK) as (made, sandbox):
            _, polls = await started(made, sandbox, "one")
            result = await event(made, invocation(of=quick, payload=b"1"))
            assert (result.payload, result.function_error) == (b"1", "")
            await polls[0]
            sandbox.launched = Launched()
            await until(lambda: made.is_usable)
            assert sandbox.calls.count("reset") == 1
        report = next(line for line in sink.lines if line.startswith("REPORT"))
        assert "Duration: 1000.00 ms" in report
        assert "Status: timeout" in report

    run(main)


@pytest.mark.parametrize("after_answer", [False, True])
def test_one_that_crashes_during_an_event(after_answer: bool) -> None:
    async def main() -> None:
        sink = KeepingSink()

        async def waits(sandbox: FakeSandbox, runtime: Runtime) -> None:
            await runtime.assigned()
            await runtime.next()
            head, body = await runtime.event()
            if after_answer:
                await runtime.answer(head["id"], body)
            await asyncio.Event().wait()

        async with environment(waits, echo, of=LAYERED, sink=sink, settings=QUICK) as (made, sandbox):
            _, polls = await started(made, sandbox, "one")
            running = asyncio.ensure_future(event(made, invocation(of=LAYERED, payload=b"1")))
            await polls[0]
            if after_answer:
                await running
            assert sandbox.on_extension_exit is not None
            sandbox.on_extension_exit("one", 256)
            result: InvocationResult = await running
            await until(lambda: made.is_usable)
            assert sandbox.calls.count("reset") == 1
            sandbox.launched = Launched()
            assert (await event(made, invocation("r-2", of=LAYERED, payload=b"2"))).payload == b"2"
        if after_answer:
            assert (result.payload, result.error_type) == (b"1", "")
        else:
            told = json.loads(result.payload)
            assert told == {"errorType": "Extension.Crash", "errorMessage": "RequestId: r-1 Error: exit code 1"}
            assert result.error_type == "Extension.Crash"
        text = "".join(sink.lines)
        assert "RequestId: r-1 Error: exit code 1\nExtension.Crash\n" in text
        assert "Status: error\tError Type: Extension.Crash" in text

    run(main)


def test_one_that_crashes_between_events_ends_the_environment() -> None:
    async def main() -> None:
        async with environment(echo, of=LAYERED, settings=QUICK) as (made, sandbox):
            _, polls = await started(made, sandbox, "one")
            assert sandbox.on_extension_exit is not None
            sandbox.on_extension_exit("one", 9)
            await until(lambda: made.state is EnvironmentState.TERMINATED)
            polls[0].cancel()

    run(main)


def test_a_poll_whose_connection_is_gone_is_made_again() -> None:
    async def main() -> None:
        async with environment(echo, of=LAYERED) as (made, sandbox):
            extensions, polls = await started(made, sandbox, "one")
            polls[0].cancel()
            await settle()
            poll = asyncio.ensure_future(extensions[0].next())
            await settle()
            await event(made, invocation(of=LAYERED))
            assert (await poll)["requestId"] == "r-1"

    run(main)


# -- the end --------------------------------------------------------------------------------------------------------


def test_shutdown_is_the_runtimes_turn_and_then_theirs() -> None:
    async def main() -> None:
        async with environment(echo, of=LAYERED) as (made, sandbox):
            _, polls = await started(made, sandbox, "one", "two")
            made.shut_down()
            assert sandbox.calls[-1] != "stop"
            for poll in polls:
                event = await poll
                assert event["eventType"] == "SHUTDOWN"
                assert event["shutdownReason"] == "spindown"
                assert event["deadlineMs"] == int((START.timestamp() + 2) * 1000)
            assert [call for call in sandbox.calls if call in ("terminate", "kill", "stop")] == ["terminate", "kill"]
            assert sandbox.exit_status == 15, "the runtime went before the extensions were told"
            assert sandbox.on_extension_exit is not None
            sandbox.on_extension_exit("one", 0)
            sandbox.on_extension_exit("two", 0)
            await until(lambda: made.state is EnvironmentState.TERMINATED)

    run(main)


@pytest.mark.parametrize("external", [True, False])
def test_who_does_not_leave_is_ended_when_the_time_is_over(external: bool) -> None:
    async def main() -> None:
        registered = asyncio.Event()

        async def boots(sandbox: FakeSandbox, runtime: Runtime) -> None:
            await runtime.assigned()
            if not external:
                await registered.wait()
            await runtime.next()
            await asyncio.Event().wait()

        async with environment(boots, of=LAYERED, settings=QUICK) as (made, sandbox):
            sandbox.leaves_on_term = False
            if external:
                _, polls = await started(made, sandbox, "one")
            else:
                starting = asyncio.ensure_future(made.start())
                inside = Extension(made, "inside")
                await until(lambda: "launch" in sandbox.calls)
                await inside.register("INVOKE")
                registered.set()
                polls = [asyncio.ensure_future(inside.next())]
                await starting
            made.shut_down()
            await until(lambda: made.state is EnvironmentState.TERMINATED)
            ends = [call for call in sandbox.calls if call in ("terminate", "kill", "stop")]
            assert ends == ["terminate", "kill", "stop"]
            if not external:
                polls[0].cancel()

    run(main)


def test_a_frozen_one_is_thawed_for_its_shutdown() -> None:
    async def main() -> None:
        settings = dataclasses.replace(QUICK, freeze_after_idle_s=0.0)
        async with environment(echo, of=LAYERED, settings=settings) as (made, sandbox):
            _, polls = await started(made, sandbox, "one")
            await until(lambda: "freeze" in sandbox.calls)
            made.shut_down()
            await polls[0]
            assert sandbox.calls.index("thaw") < sandbox.calls.index("terminate")

    run(main)


def test_a_sandbox_that_goes_in_the_middle_of_it() -> None:
    async def main() -> None:
        async with environment(echo, of=LAYERED) as (made, sandbox):
            sandbox.leaves_on_term = False
            _, polls = await started(made, sandbox, "one")
            made.shut_down()
            await settle()
            sandbox.die()
            assert made.state is EnvironmentState.TERMINATED
            await asyncio.wait(polls, timeout=10)

    run(main)


@pytest.mark.parametrize(("what", "reason"), [("timeout", "timeout"), ("exit", "failure")])
def test_after_a_failed_event_they_learn_why_they_end(what: str, reason: str) -> None:
    async def main() -> None:
        async def fails(sandbox: FakeSandbox, runtime: Runtime) -> None:
            await runtime.assigned()
            await runtime.next()
            await runtime.event()
            if what == "exit":
                sandbox.exit(256)
            await asyncio.Event().wait()

        of = version(layers=(LAYER,), timeout_s=0 if what == "timeout" else 30)
        script: Script = fails
        async with environment(script, echo, of=of, settings=QUICK) as (made, sandbox):
            extensions, polls = await started(made, sandbox, "one")
            running = asyncio.ensure_future(event(made, invocation(of=of)))
            assert (await polls[0])["eventType"] == "INVOKE"
            assert (await extensions[0].next())["shutdownReason"] == reason
            assert (await running).function_error == "Unhandled"

    run(main)
