"""The server's side of jailer and zygotes, with a scripted jailer and zygote at the other ends."""

from __future__ import annotations

import array
import asyncio
import json
import os
import signal
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

import paddock.worker.sandbox.client as client_module
from paddock.interfaces import SandboxFailed
from paddock.worker.sandbox.client import LinuxSandbox, LinuxSandboxes
from tests.unit.worker.world import open_descriptors, settle, until


class End:
    """Our end of a SEQPACKET socket: whole messages, with descriptors."""

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self.socket = sock

    async def hear(self) -> dict[str, Any]:
        data = await asyncio.wait_for(asyncio.get_running_loop().sock_recv(self.socket, 65536), 20)
        heard: dict[str, Any] = json.loads(data)
        return heard

    async def word(self) -> bytes:
        return await asyncio.wait_for(asyncio.get_running_loop().sock_recv(self.socket, 64), 20)

    def say(self, message: dict[str, Any], fds: list[int] | None = None) -> None:
        ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
        self.socket.sendmsg([json.dumps(message).encode()], ancillary)

    def close(self) -> None:
        self.socket.close()


def pair() -> tuple[socket.socket, End]:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    return ours, End(theirs)


class Cell:
    """What a zygote and pid 1 hold of a cell."""

    def __init__(self, number: int, directory: Path, groups: int) -> None:
        self.number = number
        self.groups = groups
        self.files = {name: directory / f"{number}.{name}" for name in ("freeze", "cpu", "peak", "oom")}
        for path in self.files.values():
            path.write_text("")
        self.ends: list[End] = []

    def spawned(self, zygote: End, with_files: bool = True) -> End:
        """Say so, handing everything over; returns pid 1's end of the control socket."""
        channel, far_channel = socket.socketpair()
        control, far_control = pair()
        output, output_far = os.pipe()
        telemetry, telemetry_far = os.pipe()
        opened = {name: os.open(path, os.O_RDWR) for name, path in self.files.items()} if with_files else {}
        names = ["channel", "control", "output", "telemetry", *opened]
        fds = [channel.fileno(), control.fileno(), output, telemetry, *opened.values()]
        zygote.say({"event": "spawned", "cell": self.number, "files": names, "groups": self.groups}, fds)
        for sock in (channel, far_channel, control):
            sock.close()
        for fd in (output, output_far, telemetry, telemetry_far, *opened.values()):
            os.close(fd)
        self.ends.append(far_control)
        return far_control

    def ready(self, control: End) -> None:
        with socket.socket() as first, socket.socket() as second:
            control.say({"event": "ready"}, [first.fileno(), second.fileno()])

    def gone(self, zygote: End) -> None:
        zygote.say({"event": "gone", "cell": self.number, "status": 9})
        for end in self.ends:
            end.close()


class Scene:
    """A LinuxSandboxes and its jailer."""

    def __init__(self, directory: Path) -> None:
        ours, self.jailer = pair()
        self.directory = directory
        self.sandboxes = LinuxSandboxes(ours)
        self.zygotes: list[End] = []

    async def give_zygote(self, runtime: str = "python3.12") -> End:
        assert await self.jailer.hear() == {"do": "zygote", "runtime": runtime}
        ours, zygote = pair()
        self.jailer.say({"runtime": runtime}, [ours.fileno()])
        ours.close()
        self.zygotes.append(zygote)
        zygote.say({"event": "up", "version": "3.12.1"})
        return zygote

    async def give_cell(self, zygote: End, groups: int = 2, with_files: bool = True) -> tuple[Cell, End]:
        heard = await zygote.hear()
        assert heard["do"] == "spawn"
        cell = Cell(heard["cell"], self.directory, groups)
        control = cell.spawned(zygote, with_files)
        cell.ready(control)
        return cell, control

    async def one(self, **how: Any) -> tuple[LinuxSandbox, Cell, End, End]:
        """A started sandbox, and who stands behind it."""
        starting = asyncio.ensure_future(self.sandboxes.start("python3.12"))
        zygote = await self.give_zygote()
        cell, control = await self.give_cell(zygote, **how)
        return await starting, cell, zygote, control


def close_doors(sandbox: LinuxSandbox) -> None:
    """What a holder does once it is gone."""
    for sock in (sandbox.channel, sandbox.runtime_api, sandbox.aws_api):
        sock.close()
    for fd in (sandbox.output, sandbox.telemetry):
        os.close(fd)


@pytest.fixture
def played(tmp_path: Path) -> Callable[[Callable[[Scene], Awaitable[None]]], None]:
    def play(act: Callable[[Scene], Awaitable[None]]) -> None:
        async def main() -> None:
            before = open_descriptors()
            scene = Scene(tmp_path)
            await act(scene)
            await scene.sandboxes.close()
            for end in (scene.jailer, *scene.zygotes):
                end.close()
            await settle()
            assert open_descriptors() <= before, "a descriptor was left behind"

        asyncio.run(main())

    return play


Play = Callable[[Callable[[Scene], Awaitable[None]]], None]


def test_a_runtime_that_ends_while_nobody_holds_its_sandbox_ends_it(played: Play) -> None:
    async def act(scene: Scene) -> None:
        sandbox, cell, zygote, _ = await scene.one()
        zygote.say({"event": "exit", "cell": 0, "status": 9})
        assert await zygote.hear() == {"do": "stop", "cell": 0}
        assert sandbox.exit_status == 9
        cell.gone(zygote)
        await until(lambda: sandbox.is_gone)

    played(act)


def test_a_life(played: Play) -> None:
    async def act(scene: Scene) -> None:
        sandbox, cell, zygote, control = await scene.one()
        told: list[Any] = []
        sandbox.on_exit = told.append
        sandbox.on_gone = lambda: told.append("gone")
        assigning = asyncio.ensure_future(sandbox.assign("a" * 64, 128, 512))
        assert await zygote.hear() == {"do": "assign", "cell": 0, "code": "a" * 64, "memory_mb": 128, "tmp_mb": 512}
        zygote.say({"event": "assigned", "cell": 0})
        await assigning
        zygote.say({"event": "exit", "cell": 0, "status": 256})
        await until(lambda: told == [256])
        assert sandbox.exit_status == 256
        first = sandbox.channel
        resetting = asyncio.ensure_future(sandbox.reset())
        assert await control.word() == b"\0"
        zygote.say({"event": "exit", "cell": 0, "status": 9})
        control.say({"event": "ended"})
        assert await zygote.hear() == {"do": "restart", "cell": 0}
        new, far = socket.socketpair()
        zygote.say({"event": "restarted", "cell": 0, "files": ["channel"]}, [new.fileno()])
        await resetting
        assert told == [256], "what a reset ends is not told"
        assert sandbox.exit_status is None
        assert sandbox.channel is not first
        for sock in (new, far, first):
            sock.close()
        sandbox.stop()
        assert await zygote.hear() == {"do": "stop", "cell": 0}
        cell.gone(zygote)
        await until(lambda: told == [256, "gone"])
        sandbox.stop()
        sandbox.freeze()
        sandbox.thaw()
        sandbox.limit_cpu(5)
        assert (sandbox.memory_peak_bytes(), sandbox.oom_kills()) == (0, 0)
        with pytest.raises(SandboxFailed):
            await sandbox.reset()
        close_doors(sandbox)

    played(act)


@pytest.mark.parametrize(
    ("groups", "words", "cpu"), [(2, ("1", "0"), "5000 100000"), (1, ("FROZEN", "THAWED"), "5000")]
)
def test_group_files(played: Play, groups: int, words: tuple[str, str], cpu: str) -> None:
    async def act(scene: Scene) -> None:
        sandbox, cell, zygote, _ = await scene.one(groups=groups)
        sandbox.on_gone = lambda: close_doors(sandbox)
        sandbox.freeze()
        assert cell.files["freeze"].read_text() == words[0]
        cell.files["freeze"].write_text("")
        sandbox.thaw()
        assert cell.files["freeze"].read_text() == words[1]
        sandbox.limit_cpu(5000)
        assert cell.files["cpu"].read_text() == cpu
        cell.files["peak"].write_text("123456\n")
        cell.files["oom"].write_text("low 0\noom 3\noom_kill 2\noom_group_kill 0\n")
        assert (sandbox.memory_peak_bytes(), sandbox.oom_kills()) == (123456, 2)
        cell.files["peak"].write_text("max\n")
        cell.files["oom"].write_text("oom_kill_disable 0\nunder_oom 0\n")
        assert (sandbox.memory_peak_bytes(), sandbox.oom_kills()) == (0, 0)
        assert sandbox.limits_memory
        cell.gone(zygote)
        await until(lambda: sandbox.is_gone)

    played(act)


def test_without_groups_pid_1_pauses(played: Play) -> None:
    async def act(scene: Scene) -> None:
        sandbox, cell, zygote, control = await scene.one(groups=0, with_files=False)
        sandbox.on_gone = lambda: close_doors(sandbox)
        sandbox.freeze()
        assert await control.word() == bytes([signal.SIGSTOP])
        sandbox.thaw()
        for _ in range(4):
            assert await control.word() == bytes([signal.SIGCONT]), "once more a little later, for who was being forked"
        sandbox.thaw()
        sandbox.freeze()
        assert [await control.word(), await control.word()] == [bytes([signal.SIGCONT]), bytes([signal.SIGSTOP])]
        sandbox.limit_cpu(1)
        assert not sandbox.limits_memory
        cell.gone(zygote)
        await until(lambda: sandbox.is_gone)

    played(act)


def test_cells_answer_in_any_order(played: Play) -> None:
    async def act(scene: Scene) -> None:
        starts = [asyncio.ensure_future(scene.sandboxes.start("python3.12")) for _ in range(3)]
        zygote = await scene.give_zygote()
        numbers = [(await zygote.hear())["cell"] for _ in range(3)]
        assert numbers == [0, 1, 2]
        cells = [Cell(number, scene.directory, 2) for number in numbers]
        controls = {cell.number: cell.spawned(zygote) for cell in reversed(cells)}
        for number in (1, 0, 2):
            cells[number].ready(controls[number])
        sandboxes = await asyncio.gather(*starts)
        assert [sandbox.number for sandbox in sandboxes] == numbers
        assert len({sandbox.channel.fileno() for sandbox in sandboxes}) == 3
        for number in (2, 0, 1):
            sandboxes[number].on_gone = lambda number=number: close_doors(sandboxes[number])  # type: ignore[misc]
            cells[number].gone(zygote)
            await until(lambda number=number: sandboxes[number].is_gone)  # type: ignore[misc]

    played(act)


def test_messages_about_unknown_cells_are_ignored(played: Play) -> None:
    async def act(scene: Scene) -> None:
        sandbox, cell, zygote, _ = await scene.one()
        sandbox.on_gone = lambda: close_doors(sandbox)
        null = os.open(os.devnull, os.O_RDONLY)
        zygote.say({"event": "spawned", "cell": 99, "files": ["channel"], "groups": 2}, [null])
        os.close(null)
        zygote.say({"event": "assigned", "cell": 99})
        zygote.say({"event": "gone", "cell": 99, "status": 0})
        zygote.say({"event": "pong"})
        cell.gone(zygote)
        cell_again = asyncio.ensure_future(scene.sandboxes.start("python3.12"))
        second, _ = await scene.give_cell(zygote)
        made = await cell_again
        made.on_gone = lambda: close_doors(made)
        second.gone(zygote)
        await until(lambda: made.is_gone)

    played(act)


def test_a_spawn_that_fails_is_tried_once_more(played: Play) -> None:
    async def act(scene: Scene) -> None:
        starting = asyncio.ensure_future(scene.sandboxes.start("python3.12"))
        zygote = await scene.give_zygote()
        for number, reason in enumerate(("no pids", "no memory")):
            assert (await zygote.hear())["cell"] == number
            zygote.say({"event": "failed", "cell": number, "doing": "spawn", "error": reason})
        with pytest.raises(SandboxFailed, match="no memory"):
            await starting

    played(act)


def test_a_cell_that_breaks_while_it_shuts_its_doors(played: Play) -> None:
    async def act(scene: Scene) -> None:
        starting = asyncio.ensure_future(scene.sandboxes.start("python3.12"))
        zygote = await scene.give_zygote()
        for _ in range(2):
            cell = Cell((await zygote.hear())["cell"], scene.directory, 2)
            cell.spawned(zygote).say({"event": "broken", "error": "OSError: unshare"})
            await settle()
            cell.gone(zygote)
        with pytest.raises(SandboxFailed, match="OSError: unshare"):
            await starting
        await settle()

    played(act)


def test_a_cell_that_ends_as_soon_as_it_is_ready_is_not_handed_out(played: Play) -> None:
    async def act(scene: Scene) -> None:
        starting = asyncio.ensure_future(scene.sandboxes.start("python3.12"))
        zygote = await scene.give_zygote()
        for _ in range(2):
            cell = Cell((await zygote.hear())["cell"], scene.directory, 2)
            control = cell.spawned(zygote)
            await settle()
            sandbox = scene.sandboxes._zygotes["python3.12"].result()._cells[cell.number]
            loop = asyncio.get_running_loop()
            with socket.socket() as first, socket.socket() as second:
                fds = [os.dup(first.fileno()), os.dup(second.fileno())]
            loop.call_soon(sandbox._told, {"event": "ready"}, fds)
            loop.call_soon(
                scene.sandboxes._zygotes["python3.12"].result()._told, {"event": "gone", "cell": cell.number}, []
            )
            await settle()
            control.close()
        with pytest.raises(SandboxFailed, match="ended as soon as it was ready"):
            await starting

    played(act)


def test_an_assignment_that_fails(played: Play) -> None:
    async def act(scene: Scene) -> None:
        sandbox, cell, zygote, _ = await scene.one()
        sandbox.on_gone = lambda: close_doors(sandbox)
        assigning = asyncio.ensure_future(sandbox.assign("a" * 64, 128, 512))
        await zygote.hear()
        zygote.say({"event": "failed", "cell": 0, "doing": "assign", "error": "no such code"})
        with pytest.raises(SandboxFailed, match="no such code"):
            await assigning
        cell.gone(zygote)
        await until(lambda: sandbox.is_gone)

    played(act)


def test_a_zygote_that_dies_takes_its_cells_and_is_replaced(played: Play) -> None:
    async def act(scene: Scene) -> None:
        sandbox, cell, zygote, _ = await scene.one()
        sandbox.on_gone = lambda: close_doors(sandbox)
        resetting = asyncio.ensure_future(sandbox.reset())
        starting = asyncio.ensure_future(scene.sandboxes.start("python3.12"))
        assert (await zygote.hear())["do"] == "spawn"
        zygote.close()
        with pytest.raises(SandboxFailed, match="the sandbox ended"):
            await resetting
        second = await scene.give_zygote()
        again, _ = await scene.give_cell(second)
        made = await starting
        made.on_gone = lambda: close_doors(made)
        again.gone(second)
        cell.ends[0].close()
        await until(lambda: made.is_gone)

    played(act)


def test_a_zygote_that_dies_while_it_boots(played: Play) -> None:
    async def act(scene: Scene) -> None:
        starting = asyncio.ensure_future(scene.sandboxes.start("python3.12"))
        for _ in range(2):
            await scene.jailer.hear()
            ours, zygote = pair()
            scene.jailer.say({"runtime": "python3.12"}, [ours.fileno()])
            ours.close()
            zygote.close()
        with pytest.raises(SandboxFailed, match=r"the zygote of python3\.12 ended while starting"):
            await starting

    played(act)


def test_a_jailer_that_refuses_is_asked_again_next_time(played: Play) -> None:
    async def act(scene: Scene) -> None:
        starting = asyncio.ensure_future(scene.sandboxes.start("python9"))
        for _ in range(2):
            assert (await scene.jailer.hear())["runtime"] == "python9"
            scene.jailer.say({"error": "no such runtime"})
        with pytest.raises(SandboxFailed, match="python9: no such runtime"):
            await starting

    played(act)


@pytest.mark.parametrize("when", ["before", "while"])
def test_a_jailer_that_is_gone(played: Play, when: str) -> None:
    async def act(scene: Scene) -> None:
        if when == "while":
            starting = asyncio.ensure_future(scene.sandboxes.start("python3.12"))
            await scene.jailer.hear()
        scene.jailer.close()
        await settle()
        if when == "before":
            starting = asyncio.ensure_future(scene.sandboxes.start("python3.12"))
        with pytest.raises(SandboxFailed, match="the jailer ended"):
            await asyncio.wait_for(starting, 20)

    played(act)


def test_closing_tells_whoever_waits(played: Play) -> None:
    async def act(scene: Scene) -> None:
        starting = asyncio.ensure_future(scene.sandboxes.start("python3.12"))
        await scene.jailer.hear()
        await scene.sandboxes.close()
        with pytest.raises(SandboxFailed):
            await asyncio.wait_for(starting, 20)

    played(act)


@pytest.mark.parametrize("reached", ["asked", "spawning", "spawned"])
def test_a_start_that_is_cancelled_leaves_no_descriptor(played: Play, reached: str) -> None:
    async def act(scene: Scene) -> None:
        starting = asyncio.ensure_future(scene.sandboxes.start("python3.12"))
        if reached == "asked":
            await settle()
            starting.cancel()
            zygote = await scene.give_zygote()
        else:
            zygote = await scene.give_zygote()
            cell = Cell((await zygote.hear())["cell"], scene.directory, 2)
            if reached == "spawned":
                cell.spawned(zygote)
                await settle()
            starting.cancel()
            assert await zygote.hear() == {"do": "stop", "cell": 0}
            if reached == "spawning":
                cell.ready(cell.spawned(zygote))
            await settle()
            cell.gone(zygote)
        with pytest.raises(asyncio.CancelledError):
            await starting
        await settle()
        # the zygote serves on
        starting = asyncio.ensure_future(scene.sandboxes.start("python3.12"))
        cell, _ = await scene.give_cell(zygote)
        sandbox = await starting
        sandbox.on_gone = lambda: close_doors(sandbox)
        cell.gone(zygote)
        await until(lambda: sandbox.is_gone)

    played(act)


def test_a_cell_that_takes_too_long(played: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "_START_TIMEOUT_S", 0.0)

    async def act(scene: Scene) -> None:
        starting = asyncio.ensure_future(scene.sandboxes.start("python3.12"))
        zygote = await scene.give_zygote()
        with pytest.raises(SandboxFailed, match=r"no python3\.12 environment within 0 s"):
            await starting
        assert [(await zygote.hear())["do"] for _ in range(4)] == ["spawn", "stop", "spawn", "stop"]

    played(act)


def test_two_starts_share_one_zygote_and_two_runtimes_have_one_each(played: Play) -> None:
    async def act(scene: Scene) -> None:
        starts = [asyncio.ensure_future(scene.sandboxes.start(name)) for name in ("a", "a", "b")]
        a, b = await scene.give_zygote("a"), await scene.give_zygote("b")
        cells = [await scene.give_cell(a), await scene.give_cell(a), await scene.give_cell(b)]
        made = await asyncio.gather(*starts)
        for sandbox, (cell, _), zygote in zip(made, cells, (a, a, b), strict=True):
            sandbox.on_gone = lambda sandbox=sandbox: close_doors(sandbox)  # type: ignore[misc]
            cell.gone(zygote)
            await until(lambda sandbox=sandbox: sandbox.is_gone)  # type: ignore[misc]

    played(act)


def test_more_than_a_socket_takes_is_queued_in_order(played: Play) -> None:
    async def act(scene: Scene) -> None:
        sandbox, cell, zygote, _ = await scene.one()
        sandbox.on_gone = lambda: close_doors(sandbox)
        for number in range(2000):
            sandbox._zygote.send({"do": "stop", "cell": number})
        for number in range(2000):
            assert (await zygote.hear())["cell"] == number
        cell.gone(zygote)
        await until(lambda: sandbox.is_gone)

    played(act)


def test_what_a_process_and_its_children_use_is_added_up() -> None:
    """On ourselves: this process has no children but one that waits."""
    pid = os.fork()
    if pid == 0:
        signal.pause()
        os._exit(0)
    try:
        proc = os.open(f"/proc/{os.getpid()}", os.O_RDONLY | os.O_DIRECTORY)
        try:
            assert client_module._peak(proc) > 1 << 20
        finally:
            os.close(proc)
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    gone = os.open(os.devnull, os.O_RDONLY)
    assert client_module._peak(gone) == 0
    os.close(gone)


# -- extensions, and connections into the network ------------------------------------------------------------------


async def give_helper(zygote: End) -> End:
    assert await zygote.hear() == {"do": "help", "cell": 0}
    ours, helper = pair()
    zygote.say({"event": "helping", "cell": 0}, [ours.fileno()])
    ours.close()
    return helper


def test_extensions_are_started_and_their_ends_told(played: Play) -> None:
    async def act(scene: Scene) -> None:
        sandbox, cell, zygote, _ = await scene.one()
        ended: list[tuple[str, int]] = []
        sandbox.on_extension_exit = lambda name, status: ended.append((name, status))
        launching = asyncio.ensure_future(sandbox.launch_extensions({"A": "b"}, 7))
        helper = await give_helper(zygote)
        assert await helper.hear() == {"do": "extensions", "environment": {"A": "b"}, "data_bytes_max": 7}
        ours, theirs = os.pipe()
        failed = ["two", "PermissionDenied", "why"]
        helper.say({"event": "extensions", "names": ["one", "two"], "failed": failed}, [ours])
        os.close(ours)
        launched = await launching
        assert launched[:1] + launched[2:] == (("one", "two"), "two", "PermissionDenied", "why")
        os.write(theirs, b"hello")
        assert os.read(launched.output, 99) == b"hello"
        os.close(launched.output)
        os.close(theirs)
        helper.say({"event": "extension", "name": "one", "status": 256})
        await until(lambda: ended == [("one", 256)])
        sandbox.terminate()
        sandbox.kill()
        told = [await zygote.hear(), await zygote.hear()]
        assert told == [{"do": "signal", "cell": 0, "number": number} for number in (15, 9)]
        sandbox.on_gone = lambda: close_doors(sandbox)
        waiting = asyncio.ensure_future(sandbox.launch_extensions({}))
        await helper.hear()
        cell.gone(zygote)
        with pytest.raises(SandboxFailed):
            await waiting
        with pytest.raises(SandboxFailed):
            await sandbox.launch_extensions({})
        helper.close()

    played(act)


def test_a_helper_that_is_lost_takes_those_along_whom_it_has_started(played: Play) -> None:
    async def act(scene: Scene) -> None:
        sandbox, cell, zygote, control = await scene.one()
        ended: list[tuple[str, int]] = []
        sandbox.on_extension_exit = lambda name, status: ended.append((name, status))
        launching = asyncio.ensure_future(sandbox.launch_extensions({}))
        helper = await give_helper(zygote)
        await helper.hear()
        helper.say({"event": "extensions", "names": ["one"], "failed": ["", "", ""]})
        await launching
        connecting = asyncio.ensure_future(sandbox.connect(7))
        await helper.hear()
        helper.close()
        await until(lambda: ended == [("one", 9)])
        with pytest.raises(SandboxFailed, match="lost its helper"):
            await connecting
        launching = asyncio.ensure_future(sandbox.launch_extensions({}))
        second = await give_helper(zygote)
        await second.hear()
        resetting = asyncio.ensure_future(sandbox.reset())
        assert await control.word() == b"\0"
        control.say({"event": "ended"})
        with pytest.raises(SandboxFailed, match="lost its helper"):
            await launching
        assert await zygote.hear() == {"do": "restart", "cell": 0}
        assert ended == [("one", 9)], "what a reset ends is not told"
        second.close()
        sandbox.on_gone = lambda: close_doors(sandbox)
        cell.gone(zygote)
        with pytest.raises(SandboxFailed):
            await resetting

    played(act)


def test_connections_are_handed_out_in_order_and_to_those_who_wait(played: Play) -> None:
    async def act(scene: Scene) -> None:
        sandbox, cell, zygote, _ = await scene.one()
        asked = [asyncio.ensure_future(sandbox.connect(port)) for port in (1, 2, 3)]
        helper = await give_helper(zygote)
        assert [(await helper.hear())["port"] for _ in asked] == [1, 2, 3]
        asked[0].cancel()
        await settle()
        for error in (0, 111):
            near, far = socket.socketpair()
            helper.say({"event": "connected", "error": error}, [] if error else [near.fileno()])
            near.close()
            far.close()  # the first one's: nobody waits for it, and nothing of it stays
        with pytest.raises(ConnectionRefusedError):
            await asked[1]
        near, far = socket.socketpair()
        helper.say({"event": "connected", "error": 0}, [near.fileno()])
        near.close()
        connection = await asked[2]
        far.send(b"x")
        assert connection.recv(1) == b"x"
        connection.close()
        far.close()
        sandbox.on_gone = lambda: close_doors(sandbox)
        waiting = asyncio.ensure_future(sandbox.connect(4))
        await helper.hear()
        cell.gone(zygote)
        with pytest.raises(SandboxFailed):
            await waiting
        with pytest.raises(SandboxFailed):
            await sandbox.connect(5)
        helper.close()

    played(act)
