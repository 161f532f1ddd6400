"""The mother of a zygote's environments: her code is what its source says, and what she forks is what was ordered."""

from __future__ import annotations

import fcntl
import json
import os
import platform
import shutil
import signal
import socket
import subprocess
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import pytest

from paddock.worker.sandbox import linux, mother, pid1, seccomp
from paddock.worker.sandbox.mother import FIRST, Mother
from paddock.worker.sandbox.pid1 import Calls

SOURCE = Path(__file__).parent / "mother.s"
ours_only = pytest.mark.skipif(platform.machine() != "x86_64", reason="the code is for x86_64")
by_code = pytest.mark.parametrize("by_code", [pytest.param(True, marks=ours_only), False])


@ours_only
@pytest.mark.skipif(shutil.which("as") is None, reason="no assembler on this machine")
def test_the_code_is_what_its_source_says(tmp_path: Path) -> None:
    made, binary = tmp_path / "mother.o", tmp_path / "mother.bin"
    subprocess.run(["as", str(SOURCE), "-o", str(made)], check=True)
    subprocess.run(["objcopy", "-O", "binary", "-j", ".text", str(made), str(binary)], check=True)
    assert binary.read_bytes() == mother._CODE
    symbols = subprocess.run(["nm", str(made)], capture_output=True, text=True, check=True).stdout
    places = {line.split()[2]: int(line.split()[0], 16) for line in symbols.splitlines()}
    assert (places["wait"], places["run"]) == (0, mother._RUN_AT)


def apart(work: Callable[[], None]) -> None:
    """Do it in a process of its own, as a zygote would be; what fails there fails here."""
    told, tell = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            work()
        except BaseException:
            os.write(tell, traceback.format_exc().encode()[-4000:])
        finally:
            os._exit(0)
    os.close(tell)
    with os.fdopen(told) as file:
        complaint = file.read()
    os.waitpid(pid, 0)
    assert not complaint, complaint


def born(order: dict[str, Any]) -> NoReturn:
    """Tell on the second descriptor what was ordered and who we are; then end as ordered."""
    told = {**order, "pid": os.getpid(), "random": os.urandom(2).hex(), "third": os.read(FIRST + 2, 9).decode()}
    os.write(FIRST + 1, json.dumps(told).encode())
    os._exit(order["end"])


@pytest.mark.skipif(os.geteuid() != 0, reason="a pid namespace needs root")
@by_code
def test_a_fork_is_what_was_ordered_and_our_child(by_code: bool) -> None:
    def work() -> None:
        while os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC) < 2 * FIRST:
            pass
        ours = Mother(born, mother.machine() if by_code else None, False)
        own = os.open("/proc/self/ns/pid", os.O_RDONLY | os.O_CLOEXEC)
        for number in (1, 2):
            linux.unshare(linux.CLONE_NEWPID)
            first = os.fork()  # pid 1
            if first == 0:
                linux.die_with_parent()
                signal.pause()
            linux.setns(own, linux.CLONE_NEWPID)
            near, far = socket.socketpair()
            into, out = os.pipe()
            os.write(out, b"third")
            pid = ours.fork({"end": number, "text": "ä" * 100}, [os.pidfd_open(first), far.fileno(), into])
            told = json.loads(near.recv(4096))
            assert (told["pid"], told["text"], told["third"]) == (2, "ä" * 100, "third")
            assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == number
            os.kill(first, signal.SIGKILL)
            os.waitpid(first, 0)

    apart(work)


@pytest.mark.skipif(os.geteuid() != 0, reason="a pid namespace needs root")
@by_code
def test_what_cannot_be_forked_is_told(by_code: bool) -> None:
    def work() -> None:
        while os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC) < 2 * FIRST:
            pass
        ours = Mother(born, mother.machine() if by_code else None, False)
        null = os.open(os.devnull, os.O_RDONLY)
        for _ in range(2):
            with pytest.raises(OSError, match="Invalid argument"):
                ours.fork({"end": 0}, [null, null, null])

    apart(work)


@ours_only
def test_a_mother_who_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    def work() -> None:
        monkeypatch.setattr(Mother, "_be", lambda *_: os._exit(1))
        ours = Mother(born, mother.machine(), False)
        null = os.open(os.devnull, os.O_RDONLY)
        with pytest.raises(ConnectionError):
            ours.fork({"end": 0}, [null])

    apart(work)


@ours_only
def test_a_list_is_carried_out_by_the_code() -> None:
    code = mother.machine()
    assert code is not None
    numbers = seccomp.numbers(pid1.CALLS)
    near, far = os.pipe()

    def write(calls: Calls) -> None:
        calls.add("close", 4000, may_fail=True)
        calls.add("write", far, b"hello", 5)

    def fail(calls: Calls) -> None:
        write(calls)
        calls.add("chdir", "/nowhere")
        calls.add("write", far, b"never", 5)

    kept, good = pid1.in_memory(write, numbers)
    assert code.run(good) is None
    also_kept, bad = pid1.in_memory(fail, numbers)
    told = code.run(bad)
    assert told is not None
    assert bad.complaint(told) == "chdir: No such file or directory"
    assert os.read(near, 99) == b"hellohello"
    assert fcntl.fcntl(near, fcntl.F_GETFD) >= 0
    assert len(kept) == len(also_kept)
    for fd in (near, far):
        os.close(fd)
