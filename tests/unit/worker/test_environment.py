"""One environment and a scripted runtime at the other end of its channel."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import os
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import uvloop

from paddock.interfaces import SandboxFailed
from paddock.model.environment import EnvironmentState, IllegalTransition
from paddock.model.invocation import InvocationResult
from paddock.wire.http1 import IncomingRequest
from paddock.wire.messages import Request
from paddock.worker.environment import Environment, cpu_quota_us
from paddock.worker.frames import RESPONSE_BYTES_MAX, encode
from paddock.worker.runtime_api import API
from paddock.worker.runtimes.python.bootstrap import RESPONSE
from tests.unit.worker.world import (
    CUSTOM,
    SETTINGS,
    FakeClock,
    FakeSandbox,
    KeepingSink,
    Runtime,
    Script,
    echo,
    environment,
    event,
    invocation,
    open_descriptors,
    settle,
    until,
    version,
)

QUICK = version(timeout_s=0)  # its events time out at once; Lambda's own smallest is a second
State = EnvironmentState


def playing(*steps: Callable[[FakeSandbox, Runtime, str], Awaitable[None]]) -> Script:
    """A runtime that boots, then meets its events with one step each, the last one again and again."""

    async def script(sandbox: FakeSandbox, runtime: Runtime) -> None:
        await runtime.assigned()
        await runtime.next()
        left = list(steps)
        while True:
            head, _ = await runtime.event()
            await (left.pop(0) if len(left) > 1 else left[0])(sandbox, runtime, head["id"])

    return script


async def answers(sandbox: FakeSandbox, runtime: Runtime, request_id: str) -> None:
    await runtime.answer(request_id, b'"fine"')


async def is_silent(sandbox: FakeSandbox, runtime: Runtime, request_id: str) -> None:
    await asyncio.Event().wait()


def exits(status: int) -> Callable[[FakeSandbox, Runtime, str], Awaitable[None]]:
    async def step(sandbox: FakeSandbox, runtime: Runtime, request_id: str) -> None:
        sandbox.exit(status)

    return step


def run(main: Callable[[], Awaitable[None]]) -> None:
    async def whole() -> None:
        await main()

    asyncio.run(whole())


def message(result: InvocationResult) -> str:
    return str(json.loads(result.payload)["errorMessage"])


# -- starting -------------------------------------------------------------------------------------------------------


def test_a_cold_start_and_two_events() -> None:
    async def main() -> None:
        clock, sink = FakeClock(), KeepingSink()

        async def boots(sandbox: FakeSandbox, runtime: Runtime) -> None:
            settings = await runtime.assigned()
            assert settings["handler"] == "app.handler"
            assert settings["environment"]["AWS_LAMBDA_FUNCTION_NAME"] == "fn"
            assert "data_bytes_max" not in settings
            clock.seconds += 0.25
            os.write(sandbox.stdout, b"loading\n")
            await runtime.next()
            for _ in range(2):
                head, body = await runtime.event()
                assert head["deadline_ms"] == int((clock.now().timestamp() + 3) * 1000)
                clock.seconds += 0.010
                os.write(sandbox.stdout, b"handling\n")
                await runtime.answer(head["id"], body[::-1])

        async with environment(boots, clock=clock, sink=sink) as (made, sandbox):
            assert made.state is State.STARTING
            await made.start()
            assert made.state is State.READY
            first = await event(made, invocation("r-1", payload=b"12", tail=True))
            second = await event(made, invocation("r-2", payload=b"34"))
        assert (first.payload, first.function_error, first.error_type) == (b"21", "", "")
        assert (first.executed_version, first.memory_used_mb) == ("$LATEST", 30)
        assert first.init_ms == pytest.approx(250)
        assert first.billed_ms == 260
        assert first.log_tail.startswith(b"START RequestId: r-1")
        assert (second.payload, second.init_ms, second.billed_ms, second.log_tail) == (b"43", None, 10, b"")
        assert [line.split()[0] for line in sink.lines] == (
            "INIT_START loading START handling END REPORT START handling END REPORT".split()
        )
        assert "Init Duration: 250.00 ms" in sink.lines[5]
        assert "Init Duration" not in sink.lines[9]
        assert [call for call in sandbox.calls if call != "thaw"] == ["assign"]

    run(main)


def test_cpu_follows_memory_and_init_gets_a_whole_one() -> None:
    assert cpu_quota_us(1769) == 100_000
    assert cpu_quota_us(1) == 1_000

    async def main() -> None:
        async with environment() as (made, sandbox):
            await made.start()
            assert sandbox.cpu == [100_000, cpu_quota_us(128)]
        async with environment(of=version(memory_mb=3538)) as (made, sandbox):
            await made.start()
            assert sandbox.cpu == [200_000, 200_000]
        async with environment(settings=dataclasses.replace(SETTINGS, cpu_by_memory=False)) as (made, sandbox):
            await made.start()
            assert sandbox.cpu == []

    run(main)


def test_without_limits_from_outside_the_runtime_is_told_its_own() -> None:
    async def main() -> None:
        told: list[Any] = []

        async def boots(sandbox: FakeSandbox, runtime: Runtime) -> None:
            told.append(await runtime.assigned())
            await runtime.next()

        async with environment(boots) as (made, sandbox):
            sandbox.limits_memory = False
            await made.start()
        assert told[0]["data_bytes_max"] == 128 << 20

    run(main)


def test_a_sandbox_that_cannot_be_assigned() -> None:
    async def main() -> None:
        gone: list[Environment] = []
        async with environment() as (made, sandbox):
            made.on_terminated = gone.append
            sandbox.assign_error = "no space"
            with pytest.raises(SandboxFailed, match="no space"):
                await made.start()
            await settle()
            assert gone == [made]
            assert made.state is State.TERMINATED
            assert sandbox.channel.fileno() == sandbox.runtime_api.fileno() == sandbox.aws_api.fileno() == -1

    run(main)


@pytest.mark.parametrize("when", ["assigning", "initialising"])
def test_shut_down_while_it_starts(when: str) -> None:
    async def main() -> None:
        async def never(sandbox: FakeSandbox, runtime: Runtime) -> None:
            await runtime.assigned()
            await asyncio.Event().wait()

        async with environment(never) as (made, sandbox):
            go = asyncio.Event()
            if when == "assigning":
                sandbox.stop = lambda: None  # type: ignore[method-assign]

                async def assign(*_: object) -> None:
                    await go.wait()

                sandbox.assign = assign  # type: ignore[method-assign]
            starting = asyncio.ensure_future(made.start())
            await until(lambda: made.state is (State.STARTING if when == "assigning" else State.INITIALIZING))
            await settle()
            made.shut_down()
            go.set()
            if when == "assigning":  # the answer to assign was on its way already
                with pytest.raises(SandboxFailed):
                    await starting
            else:
                await starting
            assert not made.is_usable

    run(main)


# -- failed initialisation ------------------------------------------------------------------------------------------


async def fails_init(sandbox: FakeSandbox, runtime: Runtime) -> None:
    await runtime.assigned()
    await runtime.fail_init("Runtime.ImportModuleError", b'{"errorMessage":"no module"}')
    await asyncio.Event().wait()


def test_a_failed_init_is_repeated_within_the_event() -> None:
    async def main() -> None:
        sink = KeepingSink()
        async with environment(fails_init, echo, sink=sink) as (made, sandbox):
            await made.start()
            assert made.state is State.READY
            assert sandbox.calls.count("reset") == 1
            result = await event(made, invocation(payload=b"1"))
        assert (result.payload, result.function_error, result.init_ms) == (b"1", "", None)
        assert [line.split()[0] for line in sink.lines] == ["INIT_START", "INIT_REPORT", "START", "END", "REPORT"]
        assert "Status: error\tError Type: Runtime.ImportModuleError" in sink.lines[1]

    run(main)


def test_an_init_that_keeps_failing_is_the_events_error_each_time() -> None:
    async def main() -> None:
        sink = KeepingSink()
        async with environment(fails_init, sink=sink) as (made, sandbox):
            await made.start()
            for _ in range(2):
                result = await event(made, invocation())
                assert (result.payload, result.function_error) == (b'{"errorMessage":"no module"}', "Unhandled")
                assert result.error_type == "Runtime.ImportModuleError"
            assert sandbox.calls.count("reset") == 3, "once each time, and no more"
        assert [line.split()[0] for line in sink.lines][2:6] == ["INIT_REPORT", "START", "END", "REPORT"]
        assert "Phase: invoke" in sink.lines[2]

    run(main)


async def never_boots(sandbox: FakeSandbox, runtime: Runtime) -> None:
    await runtime.assigned()
    await asyncio.Event().wait()


def test_an_init_that_takes_too_long() -> None:
    async def main() -> None:
        sink = KeepingSink()
        settings = dataclasses.replace(SETTINGS, init_timeout_s=0.0)
        async with environment(never_boots, echo, settings=settings, sink=sink) as (made, _sandbox):
            await made.start()
            assert made.is_usable
            assert "Phase: init\tStatus: timeout" in sink.lines[1]
            assert (await event(made, invocation(payload=b"1"))).payload == b"1"

    run(main)


def test_a_repeated_init_that_takes_too_long_is_a_timeout_of_the_event() -> None:
    async def main() -> None:
        sink = KeepingSink()
        async with environment(fails_init, never_boots, of=QUICK, sink=sink) as (made, sandbox):
            await made.start()
            result = await event(made, invocation())
            assert message(result) == "RequestId: r-1 Error: Task timed out after 0.00 seconds"
            assert sandbox.calls.count("reset") == 2, "once after each failed init"
            assert made.is_usable
        assert "Phase: invoke\tStatus: timeout" in sink.lines[2]

    run(main)


def test_a_runtime_that_ends_before_its_init_begins_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        async with environment(echo) as (made, sandbox):
            assign = sandbox.assign

            async def and_exit(code: str, memory_mb: int, tmp_mb: int, *more: Any) -> None:
                await assign(code, memory_mb, tmp_mb, *more)
                sandbox.exit(9)

            monkeypatch.setattr(sandbox, "assign", and_exit)
            await made.start()
            assert (sandbox.calls.count("reset"), made.is_usable) == (1, True)
            assert (await event(made, invocation(payload=b"1"))).payload == b"1"

    run(main)


def test_a_fresh_runtime_that_was_killed_while_frozen_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """A frozen process dies when it is thawed, which is in the middle of the next event."""

    async def main() -> None:
        settings = dataclasses.replace(SETTINGS, freeze_after_idle_s=0.0)
        async with environment(fails_init, echo, settings=settings) as (made, sandbox):
            await made.start()
            await until(lambda: "freeze" in sandbox.calls)
            monkeypatch.setattr(sandbox, "thaw", lambda: sandbox.exit(9))
            assert (await event(made, invocation())).error_type == "Runtime.ExitError"
            monkeypatch.undo()
            assert (await event(made, invocation("r-2", payload=b"2"))).payload == b"2"

    run(main)


@pytest.mark.parametrize("status", [256, 9])
def test_an_exit_during_init(status: int) -> None:
    async def main() -> None:
        async def dies(sandbox: FakeSandbox, runtime: Runtime) -> None:
            await runtime.assigned()
            sandbox.exit(status)

        sink = KeepingSink()
        async with environment(dies, sink=sink) as (made, sandbox):
            await made.start()
            assert made.is_usable
            result = await event(made, invocation())
            assert result.error_type == "Runtime.ExitError"
            cause = "exit status 1" if status == 256 else "signal: killed"
            assert message(result) == f"RequestId: r-1 Error: Runtime exited with error: {cause}"
            assert sandbox.calls.count("reset") == 2

    run(main)


def test_a_runtime_that_asks_for_an_event_and_leaves_in_one_breath_has_not_started() -> None:
    async def main() -> None:
        async with environment(never_boots, echo) as (made, sandbox):
            starting = asyncio.ensure_future(made.start())
            await until(lambda: made.is_initialising)
            made.asked_next()
            sandbox.exit(256)
            await starting
            assert "reset" in sandbox.calls
            assert (await event(made, invocation(payload=b"1"))).payload == b"1"

    run(main)


# -- events that go wrong -------------------------------------------------------------------------------------------


def test_a_handlers_own_error_leaves_the_environment_as_it_is() -> None:
    async def main() -> None:
        async def errs(sandbox: FakeSandbox, runtime: Runtime, request_id: str) -> None:
            await runtime.err(request_id, b'{"errorType":"ValueError"}')

        async with environment(playing(errs, answers)) as (made, sandbox):
            await made.start()
            result = await event(made, invocation())
            assert (result.payload, result.function_error) == (b'{"errorType":"ValueError"}', "Unhandled")
            assert "reset" not in sandbox.calls
            assert (await event(made, invocation("r-2"))).payload == b'"fine"'

    run(main)


def test_a_timeout() -> None:
    async def main() -> None:
        sink = KeepingSink()
        async with environment(playing(is_silent), echo, of=QUICK, sink=sink) as (made, sandbox):
            await made.start()
            result = await event(made, invocation(tail=True))
            assert (result.function_error, result.duration_ms) == ("Unhandled", 0)
            assert result.error_type == "Sandbox.Timedout"
            assert message(result) == "RequestId: r-1 Error: Task timed out after 0.00 seconds"
            assert sandbox.calls.count("reset") == 1
            assert made.is_usable
        assert sink.lines[2].endswith(" r-1 Task timed out after 0.00 seconds\n\n")
        assert "Status: timeout" in sink.lines[4]
        assert b"Task timed out" in result.log_tail

    run(main)


@pytest.mark.parametrize(
    ("status", "ooms", "error_type", "used_mb"),
    [(0, 0, "Runtime.ExitError", 30), (256, 0, "Runtime.ExitError", 30), (9, 1, "Runtime.OutOfMemory", 128)],
)
def test_an_exit_in_the_middle(status: int, ooms: int, error_type: str, used_mb: int) -> None:
    async def main() -> None:
        sink = KeepingSink()
        async with environment(playing(exits(status)), echo, sink=sink) as (made, sandbox):
            await made.start()
            sandbox.ooms = ooms
            result = await event(made, invocation())
            assert (result.function_error, result.error_type, result.memory_used_mb) == (
                "Unhandled",
                error_type,
                used_mb,
            )
            assert json.loads(result.payload)["errorType"] == error_type
            again = await event(made, invocation("r-2", payload=b"2"))
            assert (again.payload, again.function_error) == (b"2", "")
        assert sink.lines[2].startswith("RequestId: r-1 Error: Runtime exited ")
        assert f"Status: error\tError Type: {error_type}" in sink.lines[4]

    run(main)


@pytest.mark.parametrize("answer", [b"", b'"of r-1"'])
def test_an_event_that_begins_as_soon_as_the_runtime_is_back_has_an_end_of_its_own(answer: bytes) -> None:
    async def main() -> None:
        async def leaves(sandbox: FakeSandbox, runtime: Runtime, request_id: str) -> None:
            if answer:
                await runtime.answer(request_id, answer, then_next=False)
                await until(lambda: not made.current_request_id)
            sandbox.exit(3 << 8)

        async with environment(playing(leaves), echo) as (made, _sandbox):
            await made.start()
            first: list[InvocationResult | BaseException] = []
            second: list[InvocationResult | BaseException] = []

            def next_event(free: Environment) -> None:
                free.on_free = None
                free.begin(invocation("r-2", payload=b'"of r-2"'), second.append)

            made.on_free = next_event  # before whoever waits for the recovery of the first has had a turn
            made.begin(invocation("r-1"), first.append)
            await until(lambda: second and made.is_usable)
        told = [one.payload for one in [*first, *second] if isinstance(one, InvocationResult)]
        assert len(told) == 2
        assert told[0] == answer if answer else b"exit status 3" in told[0]
        assert told[1] == b'"of r-2"'

    run(main)


def test_only_a_new_oom_kill_is_out_of_memory() -> None:
    async def main() -> None:
        async with environment(playing(exits(9)), playing(exits(9)), echo) as (made, sandbox):
            await made.start()
            sandbox.ooms = 1
            assert (await event(made, invocation())).error_type == "Runtime.OutOfMemory"
            assert (await event(made, invocation())).error_type == "Runtime.ExitError"

    run(main)


def test_a_runtime_that_answers_and_leaves() -> None:
    async def main() -> None:
        async def answers_and_exits(sandbox: FakeSandbox, runtime: Runtime, request_id: str) -> None:
            await runtime.answer(request_id, b"1", then_next=False)
            await until(lambda: not made.current_request_id)
            sandbox.exit(0)

        async with environment(playing(answers_and_exits), echo) as (made, sandbox):
            await made.start()
            result = await event(made, invocation())
            assert (result.payload, result.function_error) == (b"1", "")
            assert sandbox.calls.count("reset") == 1
            assert (await event(made, invocation("r-2", payload=b"2"))).payload == b"2"

    run(main)


def test_an_answer_without_the_wish_for_more_runs_out_of_time() -> None:
    async def main() -> None:
        async def lingers(sandbox: FakeSandbox, runtime: Runtime, request_id: str) -> None:
            await runtime.answer(request_id, b"1", then_next=False)

        async with environment(playing(lingers), echo, of=QUICK) as (made, _sandbox):
            await made.start()
            assert "timed out" in message(await event(made, invocation()))

    run(main)


def test_an_answer_too_large() -> None:
    async def main() -> None:
        async def shouts(sandbox: FakeSandbox, runtime: Runtime, request_id: str) -> None:
            head = json.dumps({"id": request_id}).encode()
            await runtime.raw(encode(RESPONSE, head, bytes(RESPONSE_BYTES_MAX + 1)))
            await runtime.next()

        async with environment(playing(shouts, answers)) as (made, sandbox):
            await made.start()
            result = await event(made, invocation())
            assert result.error_type == "Function.ResponseSizeTooLarge"
            assert result.function_error == "Unhandled"
            assert "reset" not in sandbox.calls
            assert (await event(made, invocation("r-2"))).payload == b'"fine"'

    run(main)


def test_answers_to_other_events_are_ignored() -> None:
    async def main() -> None:
        async def lies(sandbox: FakeSandbox, runtime: Runtime, request_id: str) -> None:
            await runtime.answer("r-0", b"old", then_next=False)
            await runtime.err("", b"none")
            await runtime.answer(request_id, b"true")

        async with environment(playing(lies)) as (made, _):
            await made.start()
            assert (await event(made, invocation())).payload == b"true"

    run(main)


def test_nonsense_in_the_middle_of_an_event() -> None:
    async def main() -> None:
        async def babbles(sandbox: FakeSandbox, runtime: Runtime, request_id: str) -> None:
            await runtime.raw(encode(0, b"", b""))

        async with environment(playing(babbles), echo) as (made, sandbox):
            await made.start()
            assert (await event(made, invocation())).error_type == "Runtime.ExitError"
            assert sandbox.calls.count("reset") == 1
            assert (await event(made, invocation("r-2", payload=b"2"))).payload == b"2"

    run(main)


@pytest.mark.parametrize("how", ["exit", "nonsense"])
def test_a_runtime_lost_between_events_ends_the_environment(how: str) -> None:
    async def main() -> None:
        async def boots(sandbox: FakeSandbox, runtime: Runtime) -> None:
            await runtime.assigned()
            await runtime.next()
            await until(lambda: made.is_usable)
            if how == "exit":
                sandbox.exit(0)
            else:
                await runtime.raw(encode(0, b"", b""))

        async with environment(boots) as (made, sandbox):
            await made.start()
            await until(lambda: made.state is State.TERMINATED)
            assert sandbox.calls.count("stop") == 1

    run(main)


def test_a_reset_that_fails_ends_the_environment_but_not_the_result() -> None:
    async def main() -> None:
        async with environment(playing(exits(256))) as (made, sandbox):
            await made.start()
            sandbox.reset_error = "it would not"
            assert (await event(made, invocation())).error_type == "Runtime.ExitError"
            assert not made.is_usable
            await until(lambda: made.state is State.TERMINATED)

    run(main)


# -- freezing -------------------------------------------------------------------------------------------------------


def test_idle_environments_are_frozen_and_thawed_for_their_next_event() -> None:
    async def main() -> None:
        settings = dataclasses.replace(SETTINGS, freeze_after_idle_s=0.0)
        async with environment(settings=settings) as (made, sandbox):
            await made.start()
            await until(lambda: "freeze" in sandbox.calls)
            await event(made, invocation())
            assert sandbox.calls == ["assign", "freeze", "thaw"]
            await until(lambda: sandbox.calls.count("freeze") == 2)
            made.shut_down()
            assert sandbox.calls[-2:] == ["thaw", "stop"], "what is frozen cannot die"

    run(main)


def test_a_busy_function_is_never_frozen() -> None:
    async def main() -> None:
        async with environment() as (made, sandbox):
            await made.start()
            for number in range(20):
                await event(made, invocation(f"r-{number}"))
            assert sandbox.calls == ["assign"]

    run(main)


def test_the_timer_of_an_earlier_event_does_not_end_a_later_one() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        release = asyncio.Event()

        async def waits(sandbox: FakeSandbox, runtime: Runtime, request_id: str) -> None:
            await release.wait()
            await answers(sandbox, runtime, request_id)

        async with environment(playing(answers, waits)) as (made, _):
            await made.start()
            await event(made, invocation("r-1"))
            timer = made._lateness.timer
            assert timer is not None, "it stays for the next event"
            second = asyncio.ensure_future(event(made, invocation("r-2")))
            await settle()
            assert made._lateness.timer is timer
            timer.cancel()
            made._lateness.consider()  # as when it fires: the first event's time is over, the second's is not
            assert not second.done()
            again = made._lateness.timer
            assert again is not None
            assert loop.time() < again.when() <= loop.time() + made.version.timeout_s
            release.set()
            assert (await second).payload == b'"fine"'

    run(main)


def test_memory_is_asked_for_after_a_while_and_after_long_events() -> None:
    async def main() -> None:
        clock = FakeClock()

        def taking(seconds: float) -> Callable[[FakeSandbox, Runtime, str], Awaitable[None]]:
            async def step(sandbox: FakeSandbox, runtime: Runtime, request_id: str) -> None:
                clock.seconds += seconds
                sandbox.peak_bytes += 10 << 20
                await answers(sandbox, runtime, request_id)

            return step

        async with environment(playing(taking(0.001), taking(0.001), taking(0.006)), clock=clock) as (made, _):
            await made.start()
            clock.seconds += 1
            used = [(await event(made, invocation(f"r-{number}"))).memory_used_mb for number in range(3)]
            assert used == [40, 40, 60], "the second is short and follows at once"

    run(main)


@pytest.mark.parametrize("turns", range(6))
def test_a_sandbox_that_goes_while_its_channel_is_being_connected(turns: int) -> None:
    """On uvloop, whose transports take charge of their socket in several steps: none may lose it to another hand."""

    async def main() -> None:
        before = open_descriptors()
        async with environment() as (made, sandbox):
            starting = asyncio.ensure_future(made.start())
            for _ in range(turns):
                await asyncio.sleep(0)
            sandbox.die()
            await asyncio.wait((starting,))
            if starting.exception() is not None:
                assert isinstance(starting.exception(), SandboxFailed)
            await until(lambda: made.state is State.TERMINATED)
        # libuv keeps one in reserve, from its first stream on
        await until(lambda: all(what == "/dev/null" for _, what in open_descriptors() - before))

    async def whole() -> None:
        async with asyncio.timeout(20):
            await main()

    uvloop.run(whole())


# -- the table ------------------------------------------------------------------------------------------------------


def test_one_event_at_a_time() -> None:
    async def main() -> None:
        async with environment(playing(is_silent)) as (made, _sandbox):
            with pytest.raises(IllegalTransition):
                await event(made, invocation())
            await made.start()
            first = asyncio.ensure_future(event(made, invocation()))
            await until(lambda: made.current_request_id)
            with pytest.raises(IllegalTransition):
                await event(made, invocation("r-2"))
            assert made.current_request_id == "r-1"
            made.shut_down()
            assert (await first).function_error == "Unhandled"
            with pytest.raises(IllegalTransition):
                await event(made, invocation("r-3"))

    run(main)


def test_shut_down_with_an_event_inside_gives_the_caller_an_answer() -> None:
    async def main() -> None:
        sink, gone = KeepingSink(), []
        async with environment(playing(is_silent), sink=sink) as (made, sandbox):
            made.on_terminated = gone.append
            await made.start()
            running = asyncio.ensure_future(event(made, invocation()))
            await until(lambda: made.current_request_id)
            made.shut_down()
            made.shut_down()
            result = await running
            assert result.error_type == "Runtime.ExitError"
            assert message(result) == "RequestId: r-1 Error: Runtime exited with error: signal: killed"
            assert made.state is State.TERMINATED
            assert gone == [made]
            made.shut_down()
            assert sandbox.calls.count("stop") == 1
        assert sink.lines[-1].startswith("REPORT RequestId: r-1")

    run(main)


def test_nothing_of_an_ended_environment_is_left() -> None:
    async def main() -> None:
        await asyncio.sleep(0)
        before = open_descriptors()
        for scripts in ((echo,), (playing(exits(9)), echo), (fails_init,)):
            async with environment(*scripts) as (made, _sandbox):
                await made.start()
                await event(made, invocation())
                made.shut_down()
                await until(lambda made=made: made.state is State.TERMINATED)  # type: ignore[misc]
            await settle()
        assert open_descriptors() <= before

    run(main)


# -- a custom runtime, over HTTP ------------------------------------------------------------------------------------


async def asks(made: Environment, method: str, path: str, body: bytes = b"") -> tuple[int, bytes]:
    request = IncomingRequest.of(Request(method=method, path=API + path, body=body))
    response = await made._http.handle(request)
    assert isinstance(response.body, bytes)
    return response.status, response.body


async def custom(sandbox: FakeSandbox, runtime: Runtime) -> None:
    """Its channel only brings the settings; the rest is HTTP."""
    await runtime.assigned()
    await asyncio.Event().wait()


def test_a_custom_runtime() -> None:
    async def main() -> None:
        async with environment(custom, facts=CUSTOM, of=version(runtime="provided.al2023")) as (made, _):
            starting = asyncio.ensure_future(made.start())
            await until(lambda: made.is_initialising)
            poll = asyncio.ensure_future(asks(made, "GET", "/runtime/invocation/next"))
            await starting
            running = asyncio.ensure_future(event(made, invocation(payload=b"[1]")))
            assert await poll == (200, b"[1]")
            assert (await asks(made, "POST", "/runtime/invocation/r-1/response", b"[2]"))[0] == 202
            await settle()
            assert not running.done(), "only its wish for the next event ends this one"
            poll = asyncio.ensure_future(asks(made, "GET", "/runtime/invocation/next"))
            assert (await running).payload == b"[2]"
            assert (await asks(made, "POST", "/runtime/invocation/r-1/error", b"{}"))[0] == 400
            poll.cancel()

    run(main)


def test_a_custom_runtime_whose_init_fails_and_one_that_is_reset_while_it_polls() -> None:
    async def main() -> None:
        async with environment(custom, facts=CUSTOM, of=version(timeout_s=0)) as (made, sandbox):
            starting = asyncio.ensure_future(made.start())
            await until(lambda: made.is_initialising)
            assert (await asks(made, "POST", "/runtime/init/error", b'{"e":1}'))[0] == 202
            await starting
            assert sandbox.calls.count("reset") == 1
            assert (await asks(made, "POST", "/runtime/init/error", b"{}"))[0] == 403
            poll = asyncio.ensure_future(asks(made, "GET", "/runtime/invocation/next"))
            await settle()
            assert "timed out" in message(await event(made, invocation()))
            assert (await poll)[0] == 500

    run(main)
