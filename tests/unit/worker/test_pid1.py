"""The program that is pid 1 of environments: it is what its source says, and it does what its list says."""

from __future__ import annotations

import fcntl
import os
import platform
import shutil
import signal
import socket
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from paddock.worker.sandbox import pid1, seccomp
from paddock.worker.sandbox.pid1 import Calls

SOURCE = Path(__file__).parent / "pid1.s"
NUMBERS = seccomp.numbers([*pid1.CALLS, "getpid", "kill"])
ours_only = pytest.mark.skipif(platform.machine() != "x86_64", reason="the program is for x86_64")


@ours_only
@pytest.mark.skipif(shutil.which("as") is None, reason="no assembler on this machine")
def test_the_code_is_what_its_source_says(tmp_path: Path) -> None:
    made, binary = tmp_path / "pid1.o", tmp_path / "pid1.bin"
    subprocess.run(["as", str(SOURCE), "-o", str(made)], check=True)
    subprocess.run(["objcopy", "-O", "binary", "-j", ".text", str(made), str(binary)], check=True)
    assert binary.read_bytes() == pid1._CODE


class Started:
    """The program with a list of ours. It is no pid 1 here: what it would signal is everybody, so nobody asks it to."""

    def __init__(self, write: Callable[[Calls], None], monkeypatch: pytest.MonkeyPatch, in_python: bool) -> None:
        if in_python:
            monkeypatch.setattr(platform, "machine", lambda: "riscv64")
        self.program = pid1.Program(write, NUMBERS)
        self.control, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.told, tell = os.pipe()
        null = os.open(os.devnull, os.O_RDWR)
        places = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 64) for fd in (far.fileno(), null, null, tell, null)]
        self.pid = self.program.start(places)
        for fd in (null, tell, *places):
            os.close(fd)
        far.close()

    def end(self) -> int:
        self.control.close()
        _, status = os.waitpid(self.pid, 0)
        os.close(self.told)
        self.program.close()
        return os.waitstatus_to_exitcode(status)


@pytest.mark.parametrize("in_python", [pytest.param(False, marks=ours_only), True])
def test_a_list_is_carried_out_and_its_socket_is_its_life(in_python: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    def write(calls: Calls) -> None:
        calls.add("close_range", 5, 0xFFFFFFFF, 0)
        calls.add("close", 99, may_fail=True)
        calls.add("write", 3, b"1", 1)
        calls.add("prctl", 15, "it-is-me")  # PR_SET_NAME
        calls.add("write", 0, b"done", 4)

    started = Started(write, monkeypatch, in_python)
    assert started.program.complaint(os.read(started.told, 64)) == ""
    assert started.control.recv(16) == b"done"
    assert Path(f"/proc/{started.pid}/comm").read_text() == "it-is-me\n"
    assert started.end() == 0


@pytest.mark.parametrize("in_python", [pytest.param(False, marks=ours_only), True])
def test_a_call_that_fails_is_told_and_nothing_follows(in_python: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    def write(calls: Calls) -> None:
        calls.add("close_range", 5, 0xFFFFFFFF, 0)
        calls.add("getpid")
        calls.add("chdir", "/nowhere")
        calls.add("write", 3, b"1", 1)

    started = Started(write, monkeypatch, in_python)
    assert started.program.complaint(os.read(started.told, 64)) == "chdir: No such file or directory"
    os.kill(started.pid, signal.SIGKILL)
    assert started.end() == -signal.SIGKILL
    assert started.program.complaint(b"") == "pid 1 ended before it was ready"


def test_what_a_call_points_to_lies_where_it_points() -> None:
    calls = Calls(0x1000, 8, {"one": 1})
    address = calls.put(b"abc")
    calls.add("one", "text", b"\x01\x02", 7)
    image = calls.image()
    at = calls.list_address - 0x1008
    number, text, data, seven, *rest = struct.unpack_from("=8q", image, at)
    assert (number, seven, rest) == (1, 7, [0, 0, 0, 0])
    assert image[text - 0x1008 :].startswith(b"text\0")
    assert image[data - 0x1008 :].startswith(b"\x01\x02")
    assert image[address - 0x1008 :].startswith(b"abc\0")
    assert struct.unpack_from("=q", image, at + 64) == (-1,)
