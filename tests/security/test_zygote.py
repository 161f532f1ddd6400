"""The grammar between the server and its privileged helpers, spoken by a server gone bad.

A jailer is started as Paddock starts it, and this test takes the server's place at its socket: it asks for a zygote,
and then asks both for what they must refuse.
"""

from __future__ import annotations

import array
import contextlib
import json
import os
import platform
import shutil
import signal
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from paddock.worker.sandbox import cgroup, jailer, linux, seccomp
from tests.support.server import children, default_runtime

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="a jailer by root needs tests that run as root")

CODE = "c" * 64
TIMEOUT_S = 60
"""Of a socket, for a helper that hangs; nothing waits for it."""


@dataclass
class Helper:
    """One end of a socket to the jailer or to a zygote."""

    socket: socket.socket

    def say(self, message: object) -> None:
        self.socket.send(message if isinstance(message, bytes) else json.dumps(message).encode())

    def hear(self) -> tuple[dict[str, Any], list[int]]:
        data, fds, _, _ = socket.recv_fds(self.socket, 65536, 32)
        return json.loads(data), fds

    def ask(self, message: object) -> dict[str, Any]:
        self.say(message)
        answer, fds = self.hear()
        for fd in fds:
            os.close(fd)
        return answer


class _Jailer(jailer.Jailer):
    """The real one, but for the server: that is us."""

    def _start_server(self, control: socket.socket, listener: socket.socket, data: Path) -> None:
        self._server = os.getppid()  # never reaped, never asked to stop


@dataclass
class Stage:
    data: Path
    jailer: Helper


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """A jailer in a process of its own."""
    data = tmp_path_factory.mktemp("zygote") / "data"
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    settings = jailer.Settings(
        host="127.0.0.1",
        port=0,
        data_dir=str(data),
        server_uid=2_000_000_000 - 1,
        environment_uid_first=2_000_000_000,
        processes_max=64,
        rootless=False,
        runtimes_dir=str(data / "runtimes-dir"),
        file_systems=({"arn": ALLOWED, "directory": "/usr/share", "access": "read"},),
        server={},
    )
    pid = os.fork()
    if pid == 0:
        ours.close()
        _be_jailer(settings, theirs)
    theirs.close()
    ours.settimeout(TIMEOUT_S)
    (data / "server" / "code").mkdir(parents=True, exist_ok=True)
    _package(data, CODE)
    try:
        yield Stage(data=data, jailer=Helper(ours))
    finally:
        ours.close()
        os.waitpid(pid, 0)


def _be_jailer(settings: jailer.Settings, control: socket.socket) -> None:
    """In the child. It ends with the socket, and everything it has started ends with it."""
    status = 1
    with contextlib.suppress(BaseException):
        linux.die_with_parent()
        linux.unshare(linux.CLONE_NEWNS)
        linux.mount("none", "/", None, linux.MS_REC | linux.MS_PRIVATE)
        one = _Jailer(settings, jailer.find_runtimes(settings))
        data = Path(settings.data_dir)
        one._directories(data)
        hierarchy = cgroup.find()
        one._port = 1234
        one._groups = cgroup.make_parent(hierarchy, settings.name)
        one._filter = seccomp.program()
        try:
            while one._obey(control):
                pass
        finally:
            one._end_zygotes()
            cgroup.sweep(hierarchy, settings.name)
        status = 0
    os._exit(status)


def _package(data: Path, name: str) -> Path:
    place = data / "server/code" / name
    place.mkdir()
    (place / "app.py").write_text("")
    return place


@pytest.fixture
def zygote(stage: Stage) -> Iterator[Helper]:
    stage.jailer.say({"do": "zygote", "runtime": default_runtime()})
    answer, fds = stage.jailer.hear()
    assert answer == {"runtime": default_runtime()}
    helper = Helper(socket.socket(fileno=fds[0]))
    helper.socket.settimeout(TIMEOUT_S)
    assert helper.hear()[0]["event"] == "up"
    yield helper
    helper.socket.close()


@dataclass
class Cell:
    number: int
    control: socket.socket
    fds: list[int]


@pytest.fixture
def cell(zygote: Helper) -> Iterator[Cell]:
    """An environment that is isolated and waits."""
    zygote.say({"do": "spawn", "cell": 1})
    answer, fds = zygote.hear()
    assert answer["event"] == "spawned", answer
    control = socket.socket(fileno=fds.pop(answer["files"].index("control")))
    control.settimeout(TIMEOUT_S)
    data, more, _, _ = socket.recv_fds(control, 65536, 8)
    assert json.loads(data) == {"event": "ready"}
    yield Cell(1, control, [*fds, *more])
    control.close()
    for fd in [*fds, *more]:
        os.close(fd)


def assignment(**changed: object) -> dict[str, object]:
    return {"do": "assign", "cell": 1, "code": CODE, "memory_mb": 128, "tmp_mb": 512, **changed}


# -- the jailer ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "message",
    [
        {"do": "zygote", "runtime": "../../bin/sh"},
        {"do": "zygote", "runtime": "/bin/sh"},
        {"do": "zygote", "runtime": "python2.7"},
        {"do": "zygote", "runtime": ["python3.11"]},
        {"do": "zygote", "runtime": None},
        {"do": "zygote"},
        {"do": "exec", "runtime": default_runtime()},
        {"do": ["zygote"], "runtime": default_runtime()},
        {},
        [],
        "zygote",
        7,
        b"not JSON",
        b"\xff\xfe",
        b"[" * 60_000,
    ],
    ids=lambda message: str(message)[:40],
)
def test_the_jailer_starts_runtimes_of_its_list_and_nothing_else(stage: Stage, message: object) -> None:
    assert stage.jailer.ask(message) == {"error": "no such runtime"}


def test_descriptors_sent_to_the_jailer_are_not_kept(stage: Stage) -> None:
    with open("/dev/null") as null:
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [null.fileno()] * 3))]
        stage.jailer.socket.sendmsg([b"{}"], rights)
    assert stage.jailer.hear() == ({"error": "no such runtime"}, [])


# -- the zygote ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "message",
    [
        {"do": "exec", "cell": 1, "path": "/bin/sh"},
        {"do": "mount", "cell": 1},
        {"do": None, "cell": 1},
        {"do": {"spawn": 1}, "cell": 1},
        {"cell": 1},
        {"do": "spawn"},
        {"do": "spawn", "cell": "../../../escape"},
        {"do": "spawn", "cell": ""},
        {"do": "spawn", "cell": -1},
        {"do": "spawn", "cell": True},
        {"do": "spawn", "cell": 1.5},
        {"do": "spawn", "cell": 2**80},
        {"do": "spawn", "cell": [1]},
        {"do": "spawn", "cell": {}},
        {"do": "stop", "cell": "1"},
        {"do": "assign", "cell": 99, "code": CODE, "memory_mb": 128, "tmp_mb": 512},
        [],
        "spawn",
        None,
        b"not JSON",
        b"\xff\xfe",
        b"[" * 60_000,
    ],
    ids=lambda message: str(message)[:40],
)
def test_the_zygote_refuses_what_is_not_a_command(zygote: Helper, message: object) -> None:
    assert zygote.ask(message)["event"] == "failed"
    assert zygote.ask({"do": "ping"}) == {"event": "pong"}  # and lives on


@pytest.mark.parametrize(
    "code",
    [
        "",
        "/etc",
        "../../../../etc",
        "..",
        "c" * 63,
        "c" * 65,
        "C" * 64,
        "c" * 64 + "\n",
        "c" * 64 + "/..",
        "c" * 60 + "/../",
        "\0" + "c" * 63,
        7,
        None,
        [CODE],
    ],
)
def test_code_is_named_by_a_digest_only(zygote: Helper, cell: Cell, code: object) -> None:
    assert zygote.ask(assignment(code=code))["event"] == "failed"
    assert zygote.ask(assignment()) == {"event": "assigned", "cell": 1}


@pytest.mark.parametrize(
    "changed",
    [
        {"memory_mb": 0},
        {"memory_mb": -1},
        {"memory_mb": "128"},
        {"memory_mb": 1.5},
        {"memory_mb": 2**60},
        {"tmp_mb": 0},
        {"tmp_mb": -1},
        {"tmp_mb": "512m,mode=0"},
        {"tmp_mb": 2**60},
        {"tmp_mb": None},
    ],
    ids=str,
)
def test_sizes_are_whole_numbers_within_bounds(zygote: Helper, cell: Cell, changed: dict[str, object]) -> None:
    assert zygote.ask(assignment(**changed))["event"] == "failed"


ALLOWED = "arn:allowed"


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"network": "office"}, "no such network"),
        ({"network": 1}, "no such network"),
        ({"network": None}, "no such network"),
        ({"file_systems": [["arn:other", "/mnt/x"]]}, "no such file system"),
        ({"file_systems": [["/etc", "/mnt/x"]]}, "no such file system"),
        ({"file_systems": [[ALLOWED, "/mnt/.."]]}, "no such file system"),
        ({"file_systems": [[ALLOWED, "/mnt/x/../../etc"]]}, "no such file system"),
        ({"file_systems": [[ALLOWED, "/var/task"]]}, "no such file system"),
        ({"file_systems": [[ALLOWED, "/mnt/x\n"]]}, "no such file system"),
        ({"file_systems": [[ALLOWED, 7]]}, "an arn and a path"),
        ({"file_systems": [ALLOWED]}, "an arn and a path"),
        ({"file_systems": ALLOWED}, "a short list"),
        ({"file_systems": [[ALLOWED, "/mnt/x"]] * 9}, "a short list"),
    ],
    ids=str,
)
def test_networks_and_directories_are_the_operators(
    zygote: Helper, cell: Cell, changed: dict[str, object], reason: str
) -> None:
    answer = zygote.ask(assignment(**changed))
    assert answer["event"] == "failed"
    assert reason in answer["error"]
    assert zygote.ask({"do": "ping"}) == {"event": "pong"}


def test_a_directory_of_the_operators_is_mounted(zygote: Helper, cell: Cell) -> None:
    assert zygote.ask(assignment(file_systems=[[ALLOWED, "/mnt/x"]])) == {"event": "assigned", "cell": 1}


def test_an_environment_is_given_code_once(zygote: Helper, cell: Cell) -> None:
    assert zygote.ask(assignment())["event"] == "assigned"
    answer = zygote.ask(assignment())
    assert answer["event"] == "failed"
    assert "no other" in answer["error"]


def test_code_that_is_not_there_is_refused(zygote: Helper, cell: Cell) -> None:
    assert zygote.ask(assignment(code="0" * 64))["event"] == "failed"


@pytest.mark.parametrize("target", ["/etc", "/root", "/", ".", "..", "../..", "../../../..", "/proc/self/root"])
def test_a_link_in_the_place_of_code_is_not_followed(stage: Stage, zygote: Helper, cell: Cell, target: str) -> None:
    """The server owns data/server/code: what it puts there must not become a way to mount anything else."""
    place = stage.data / "server/code" / ("d" * 64)
    place.symlink_to(target)
    try:
        assert zygote.ask(assignment(code="d" * 64))["event"] == "failed"
    finally:
        place.unlink()


def test_a_link_above_the_code_is_not_followed(stage: Stage, zygote: Helper, cell: Cell, tmp_path: Path) -> None:
    code = stage.data / "server/code"
    (tmp_path / CODE).mkdir()
    code.rename(stage.data / "server/away")
    try:
        for target in (tmp_path, Path("away")):
            code.symlink_to(target)
            assert zygote.ask(assignment())["event"] == "failed", target
            code.unlink()
    finally:
        (stage.data / "server/away").rename(code)
    assert zygote.ask(assignment())["event"] == "assigned"


def test_a_file_in_the_place_of_code_is_refused(stage: Stage, zygote: Helper, cell: Cell) -> None:
    place = stage.data / "server/code" / ("e" * 64)
    place.write_text("#!/bin/sh")
    try:
        assert zygote.ask(assignment(code="e" * 64))["event"] == "failed"
    finally:
        place.unlink()


def test_links_inside_code_end_inside_the_sandbox(stage: Stage, zygote: Helper, cell: Cell) -> None:
    """They are mounted as they are, and mean what they mean inside: see test_files for what is there."""
    place = _package(stage.data, "f" * 64)
    (place / "shadow").symlink_to("/etc/shadow")
    try:
        assert zygote.ask(assignment(code="f" * 64))["event"] == "assigned"
    finally:
        shutil.rmtree(place)


def test_an_environment_that_is_not_isolated_yet_gets_no_code(zygote: Helper) -> None:
    """Both commands at once: until it has mounts of its own, code would be mounted for all environments."""
    zygote.say({"do": "spawn", "cell": 1})
    zygote.say(assignment())
    events = []
    while not events or events[-1] not in ("failed", "assigned"):
        answer, fds = zygote.hear()
        events.append(answer["event"])
        for fd in fds:
            os.close(fd)
    zygote.say({"do": "spawn", "cell": 2})
    answer, fds = zygote.hear()
    while answer["event"] != "spawned":
        answer, fds = zygote.hear()
    control = socket.socket(fileno=fds.pop(answer["files"].index("control")))
    control.settimeout(TIMEOUT_S)
    data, more, _, _ = socket.recv_fds(control, 65536, 8)
    assert json.loads(data) == {"event": "ready"}
    for fd in [*fds, *more]:
        os.close(fd)
    assert not any(CODE in line for line in _mounts_of_zygotes())
    control.close()


def _mounts_of_zygotes() -> list[str]:
    found: list[str] = []
    for comm in Path("/proc").glob("[0-9]*/comm"):
        try:
            if comm.read_text().strip() == "paddock-zygote":
                found += (comm.parent / "mountinfo").read_text().splitlines()
        except OSError:
            continue  # it has just ended
    return found


@pytest.mark.skipif(platform.machine() != "x86_64", reason="elsewhere there is no mother")
def test_a_zygote_ends_when_its_mother_is_lost_and_not_only_when_it_needs_her(zygote: Helper, cell: Cell) -> None:
    jailers = children(os.getpid())
    newest = [pid for one in jailers for pid in children(one) if _name(pid) == "paddock-zygote"][-1]
    mother = children(newest)[0]
    assert _name(mother) == "paddock-mother"
    os.kill(mother, signal.SIGKILL)
    assert zygote.socket.recv(65536) == b""  # nothing was asked of it
    assert cell.control.recv(65536) == b""  # pid 1 has ended with it


def _name(pid: int) -> str:
    return Path(f"/proc/{pid}/comm").read_text().strip()
