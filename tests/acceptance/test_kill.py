"""Paddock, or a part of it, is killed in the middle of everything: what was acknowledged is there, nothing is left."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import os
import random
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import BotoCoreError, ClientError

from tests.support.calls import TOOLBOX, refused, settled, until
from tests.support.server import ROLE, ROOT, RunningServer, children, default_runtime, zipped
from tests.support.traces import Traces, mounts_of, traces

KILLS = 20
SLEEPER = """
import time
def handler(event, context):
    open("/tmp/inside", "w").close()
    deadline = time.monotonic() + event
    while time.monotonic() < deadline:
        time.sleep(0.02)
    return "slept"
"""


@pytest.fixture
def own(tmp_path: Path) -> Iterator[RunningServer]:
    """A Paddock for this test alone, running; whatever happens to it, nothing of it outlives the test."""
    running = RunningServer(tmp_path).start()
    try:
        yield running
    finally:
        running.stop()


def blobs(server: RunningServer) -> set[str]:
    """The digests of the stored packages."""
    return {path.name for path in (server.data_dir / "server" / "blobs").glob("??/*")}


def referred(server: RunningServer) -> set[str]:
    return {base64.b64decode(each["CodeSha256"]).hex() for each in listed(server).values()}


def listed(server: RunningServer) -> dict[str, Any]:
    pages = server.client("lambda").get_paginator("list_functions").paginate()
    return {each["FunctionName"]: each for page in pages for each in page["Functions"]}


def zygotes(server: RunningServer) -> list[int]:
    """The jailer's children but for the server, the sweeper and what passes on DNS questions."""
    others = {"paddock-names\n", "paddock-sweeper\n"}
    return [pid for pid in children(server.pid) if pid != server.server_pid and name_of(pid) not in others]


def name_of(pid: int) -> str:
    """The process's name; "" when it has just ended."""
    try:
        return Path(f"/proc/{pid}/comm").read_text()
    except FileNotFoundError:
        return ""


def invoke_quietly(server: RunningServer, name: str, event: object) -> None:
    """An invocation that is expected to lose its server."""
    try:
        server.invoke(name, event)
    except (BotoCoreError, ClientError):
        return


def inside(server: RunningServer) -> bool:
    """Whether a SLEEPER is at work: its process has made its mark in its own /tmp."""
    return any(Path("/proc", str(pid), "root", "tmp", "inside").exists() for pid, _ in traces(server).processes)


def needs_root(why: str) -> None:
    if os.geteuid() != 0:
        pytest.skip(f"needs root {why}")


# -- the server dies


def test_nothing_is_left_of_a_killed_server(own: RunningServer) -> None:
    needs_root("to look into environments")
    own.create("busy", SLEEPER)
    own.create("idle", TOOLBOX)
    assert own.invoke("idle", {"do": "return CALLS"})[0] == 1
    with ThreadPoolExecutor(1) as pool:
        pool.submit(invoke_quietly, own, "busy", 25)
        until(lambda: inside(own))
        before = traces(own)
        assert len(before.processes) > 6  # jailer, server, zygote, and environments of two processes each
        assert {"net", "pid", "mnt", "ipc", "uts", "user"} <= {name.split(":")[0] for name in before.namespaces}
        assert own.groups()
        assert own.kill() == 128 + signal.SIGKILL  # `paddock up` ends with its server
    until(lambda: not before.left())
    assert own.groups() == []
    assert mounts_of(own.data_dir) == []
    own.start()
    assert sorted(listed(own)) == ["busy", "idle"]
    assert own.invoke("idle", {"do": "return CALLS"})[0] == 1
    assert own.invoke("busy", 0)[0] == "slept"
    after = traces(own)
    assert own.stop() == 0
    until(lambda: not after.left())
    assert own.groups() == []
    assert mounts_of(own.data_dir) == []


def test_killed_while_uploading(own: RunningServer) -> None:
    own.create("standing", TOOLBOX)
    before = blobs(own)
    host, _, port = own.endpoint.removeprefix("http://").rpartition(":")
    package = base64.b64encode(zipped({"app.py": "x", "fill": os.urandom(4 << 20)}))
    body = b'{"FunctionName": "half", "Code": {"ZipFile": "' + package
    with socket.create_connection((host, int(port))) as connection:
        head = f"POST /2015-03-31/functions HTTP/1.1\r\nHost: {host}\r\nContent-Length: {len(body) * 2}\r\n\r\n"
        connection.sendall(head.encode() + body)
        own.kill()
    own.start()
    assert list(listed(own)) == ["standing"]
    assert blobs(own) == before
    assert own.invoke("standing", {"do": "return 1"})[0] == 1


def test_killed_between_upload_and_commit(own: RunningServer) -> None:
    """The disk as such a kill leaves it: a stored package that no function refers to, and one half written."""
    own.create("standing", TOOLBOX)
    before = blobs(own)
    own.kill()
    home = own.data_dir / "server" / "blobs"
    orphan, half = home / "ab" / ("ab" * 32), home / "incoming" / "7.part"
    orphan.parent.mkdir(exist_ok=True)
    for path in (orphan, half):
        path.write_bytes(b"left over")
        owner = home.stat()
        os.chown(path, owner.st_uid, owner.st_gid)
        os.chown(path.parent, owner.st_uid, owner.st_gid)
    own.start()
    assert blobs(own) == before
    assert list((home / "incoming").iterdir()) == []
    assert own.invoke("standing", {"do": "return 1"})[0] == 1


# -- killed under load


def saying(text: str) -> bytes:
    return zipped({"app.py": f"def handler(event, context):\n    return {text!r}\n"})


class Load:
    """One client that creates, updates, invokes and deletes functions of its own until the server is gone.

    `books` says what each function's code may say: one text when that was acknowledged, more (or None, for "is not
    there") when the last change was cut off by the end of the server.
    """

    def __init__(self, serial: int, chance: random.Random) -> None:
        self.books: dict[str, set[str | None]] = {}
        self.acknowledged = 0
        self.faults: list[str] = []
        self._serial = serial
        self._chance = chance
        self._number = 0

    def run(self, server: RunningServer) -> None:
        client = server.client("lambda", connect_timeout=5, read_timeout=20)
        try:
            while True:
                self._number += 1
                self._one(client)
        except BotoCoreError:
            return  # the connection broke: the server is gone
        except ClientError as error:
            self.faults.append(str(error))

    def _one(self, client: Any) -> None:
        text = f"{self._serial}-{self._number}"
        name = self._chance.choice(sorted(self.books)) if self.books else ""
        action = self._chance.choice(["create", "update", "invoke", "delete"])
        try:
            if not name or (action == "create" and len(self.books) < 5):
                self._change(f"f-{text}", text, lambda: create(client, f"f-{text}", text))
            elif action == "update":
                package = saying(text)
                self._change(name, text, lambda: client.update_function_code(FunctionName=name, ZipFile=package))
            elif action == "delete":
                self._change(name, None, lambda: client.delete_function(FunctionName=name))
            else:
                client.invoke(FunctionName=name)
        except client.exceptions.ResourceConflictException:
            return  # still Pending, or an update is under way: nothing was changed

    def _change(self, name: str, text: str | None, call: Callable[[], Any]) -> None:
        before = self.books.get(name, {None})
        self.books[name] = before | {text}
        try:
            call()
        except ClientError:
            self._settle(name, before)
            raise
        self._settle(name, {text})
        self.acknowledged += 1

    def _settle(self, name: str, texts: set[str | None]) -> None:
        self.books[name] = texts
        if texts == {None}:
            del self.books[name]

    def check(self, found: dict[str, Any]) -> None:
        """What is listed after the restart is what was acknowledged; in doubt, either; and then it is certain."""
        by_digest = {base64_digest(text): text for texts in self.books.values() for text in texts if text}
        for name, texts in list(self.books.items()):
            text = by_digest[found[name]["CodeSha256"]] if name in found else None
            assert text in texts, f"{name} says {text} instead of {texts}"
            self._settle(name, {text})


def base64_digest(text: str) -> str:
    return base64.b64encode(hashlib.sha256(saying(text)).digest()).decode()


def create(client: Any, name: str, text: str) -> None:
    client.create_function(
        FunctionName=name,
        Runtime=default_runtime(),
        Handler="app.handler",
        Role=ROLE,
        Timeout=20,
        Code={"ZipFile": saying(text)},
    )


def total(loads: list[Load]) -> int:
    return sum(load.acknowledged for load in loads)


def wait_all_settled(server: RunningServer) -> None:
    client = server.client("lambda")
    for name in listed(server):
        client.get_waiter("function_active_v2").wait(FunctionName=name, WaiterConfig={"Delay": 0.05})
        assert settled(client, name)["LastUpdateStatus"] == "Successful"


@pytest.mark.timeout(240)
def test_killed_at_random_points_under_load(tmp_path: Path) -> None:
    chance = random.Random(20261123)
    server = RunningServer(tmp_path).start()
    loads = [Load(serial, random.Random(serial)) for serial in range(3)]
    try:
        for _ in range(KILLS):
            enough = total(loads) + chance.randrange(1, 30)
            with ThreadPoolExecutor(len(loads)) as pool:
                for load in loads:
                    pool.submit(load.run, server)
                try:
                    until(lambda: any(load.faults for load in loads) or total(loads) >= enough)  # noqa: B023
                finally:
                    server.kill()  # which also ends the threads
            assert [fault for load in loads for fault in load.faults] == []
            assert server.groups() == []
            server.start()
            found = listed(server)
            for load in loads:
                load.check(found)
            assert set(found) == {name for load in loads for name in load.books}
            wait_all_settled(server)
            for load in loads:
                name = chance.choice(sorted(load.books)) if load.books else ""
                if name:
                    assert {server.invoke(name)[0]} == load.books[name]
            assert blobs(server) == referred(server)
        assert total(loads) > KILLS
        for load in loads:
            for name, texts in load.books.items():
                assert {server.invoke(name)[0]} == texts
    finally:
        server.stop()


# -- other parts die


def test_a_killed_jailer_takes_everything_with_it(own: RunningServer) -> None:
    own.create("busy", SLEEPER)
    with ThreadPoolExecutor(1) as pool:
        pool.submit(invoke_quietly, own, "busy", 25)
        until(lambda: inside(own) or os.geteuid() != 0)
        before = traces(own)
        os.kill(own.pid, signal.SIGKILL)
        until(lambda: not before.left())
    assert own.groups() == []
    own.stop()
    own.start()
    assert own.invoke("busy", 0)[0] == "slept"
    own.stop()
    assert own.groups() == []


def test_the_frozen_environments_of_a_killed_jailer_end_with_it(tmp_path: Path) -> None:
    """On cgroup v1 what is frozen cannot die, and who could thaw it is dead: the sweeper has waited for that."""
    needs_root("to have control groups to freeze")
    server = RunningServer(tmp_path, freeze_after_idle_ms=0).start()
    server.create("fine", TOOLBOX)
    server.invoke("fine", {"do": "pass"})
    frozen = [path for group in server.groups() for path in group.glob("*/freezer.state")]
    until(lambda: not frozen or any(path.read_text() == "FROZEN\n" for path in frozen))
    before = traces(server)
    server.kill_jailer()
    until(lambda: not before.left())
    assert server.groups() == []
    with server:
        assert server.invoke("fine", {"do": "return 1"})[0] == 1


def test_a_killed_zygote_is_replaced(own: RunningServer) -> None:
    own.create("fine", TOOLBOX)
    assert own.invoke("fine", {"do": "KEPT['x'] = 1"})[0] is None
    for _ in range(3):
        (zygote,) = zygotes(own)
        os.kill(zygote, signal.SIGKILL)
        until(lambda: zygote not in zygotes(own))  # noqa: B023
        kept, answer = own.invoke("fine", {"do": "return KEPT"})
        assert "FunctionError" not in answer, kept
        assert kept == {}


def test_a_killed_zygote_ends_what_runs_with_a_clear_error(own: RunningServer) -> None:
    needs_root("to look into environments")
    own.create("busy", SLEEPER)
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(own.invoke, "busy", 25)
        until(lambda: inside(own))
        (zygote,) = zygotes(own)
        os.kill(zygote, signal.SIGKILL)
        found, answer = running.result()
    assert answer["FunctionError"] == "Unhandled"
    assert found["errorType"] == "Runtime.ExitError"
    assert own.invoke("busy", 0)[0] == "slept"


def test_the_frozen_environments_of_a_killed_zygote_end_with_it(tmp_path: Path) -> None:
    """On cgroup v1 what is frozen cannot die, and only the zygote knew the groups by name: the jailer clears up."""
    needs_root("to have control groups to freeze")
    with RunningServer(tmp_path, freeze_after_idle_ms=0) as server:
        server.create("fine", TOOLBOX)
        server.invoke("fine", {"do": "pass"})
        (zygote,) = zygotes(server)
        standing = {server.pid, *children(server.pid)} - {zygote}
        before = frozenset(each for each in traces(server).processes if each[0] not in standing)
        os.kill(zygote, signal.SIGKILL)
        until(lambda: not Traces(processes=before, namespaces=frozenset()).left())
        until(lambda: not [path for group in server.groups() for path in group.glob("0-*")])
        assert server.invoke("fine", {"do": "return 1"})[0] == 1


def test_a_killed_environment_is_replaced(own: RunningServer) -> None:
    """Whatever is killed from outside, by the kernel or an operator, the next event works."""
    needs_root("to end an environment's processes")
    own.create("fine", TOOLBOX)
    own.invoke("fine", {"do": "pass"})
    (zygote,) = zygotes(own)
    killed = set(children(zygote))
    for pid in killed:
        with contextlib.suppress(ProcessLookupError):  # the first has taken the second along
            os.kill(pid, signal.SIGKILL)

    def replaced() -> bool:
        """A frozen environment dies of it only when it thaws, which the next event makes it do."""
        answer = own.invoke("fine", {"do": "return 1"})[1]
        return "FunctionError" not in answer and not killed & set(children(zygote))

    until(replaced)
    assert own.invoke("fine", {"do": "return 1"})[0] == 1


# -- ends in order


def test_sigterm_lets_a_running_invocation_end(own: RunningServer) -> None:
    needs_root("to look into environments")
    own.create("busy", SLEEPER)
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(own.invoke, "busy", 2)
        until(lambda: inside(own))
        before = traces(own)
        assert own.stop() == 0
        found, answer = running.result()
    assert (found, answer.get("FunctionError")) == ("slept", None)
    until(lambda: not before.left())
    assert own.groups() == []
    own.start()
    events = own.client("logs").filter_log_events(logGroupName="/aws/lambda/busy")["events"]
    assert any(event["message"].startswith("REPORT ") for event in events)


# -- starts that are refused


def up(*arguments: str) -> tuple[int, str]:
    """(exit status, what it said) of a `paddock up` that is expected to end at once."""
    command = [sys.executable, "-m", "paddock", "up", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT, timeout=60)
    return done.returncode, done.stdout + done.stderr


def test_a_second_paddock_on_the_same_data(server: RunningServer) -> None:
    server.client("lambda").list_functions()
    status, said = up("--port", "0", "--data-dir", str(server.data_dir))
    assert status == 1
    assert said.strip() == f"paddock: another Paddock is running on {server.data_dir}"
    server.client("lambda").list_functions()  # and the first one does not mind


def test_a_port_that_is_taken(server: RunningServer, tmp_path: Path) -> None:
    port = server.endpoint.rpartition(":")[2]
    status, said = up("--port", port, "--data-dir", str(tmp_path / "data"))
    assert status == 1
    assert said.strip() == f"paddock: 127.0.0.1:{port} is taken by another process; choose another with --port"


def test_an_address_that_is_not_loopback(tmp_path: Path) -> None:
    status, said = up("--host", "0.0.0.0", "--port", "0", "--data-dir", str(tmp_path / "data"))
    assert status != 0
    assert "loopback" in said


# -- a full disk


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[RunningServer]:
    """A Paddock whose data directory is a file system of 96 MB."""
    needs_root("to mount a small file system")
    data = tmp_path / "data"
    data.mkdir()
    options = ["-o", "size=96m,mode=755"]
    subprocess.run(["mount", "-t", "tmpfs", *options, "paddock-test", str(data)], check=True)
    running = RunningServer(tmp_path)
    try:
        running.start()
        yield running
    finally:
        running.stop()
        subprocess.run(["umount", str(data)], check=True)


def test_a_full_disk(small_disk: RunningServer) -> None:
    aws = small_disk.client("lambda")
    small_disk.create("standing", TOOLBOX)
    assert small_disk.invoke("standing", {"do": "return 1"})[0] == 1
    stored = blobs(small_disk)
    free = os.statvfs(small_disk.data_dir)
    fill = small_disk.data_dir / "fill"
    fill.write_bytes(b"\0" * (free.f_bavail * free.f_frsize - (2 << 20)))
    large = zipped({"app.py": TOOLBOX, "large": os.urandom(4 << 20)})
    given = {"Runtime": default_runtime(), "Handler": "app.handler", "Role": ROLE, "Code": {"ZipFile": large}}
    for _ in range(3):
        with refused("ServiceException", "No space left on device", 500):
            aws.create_function(FunctionName="large", **given)
        with refused("ServiceException", "No space left on device", 500):
            aws.update_function_code(FunctionName="standing", ZipFile=large)
    assert list(listed(small_disk)) == ["standing"]
    assert blobs(small_disk) == stored
    assert small_disk.invoke("standing", {"do": "return 1"})[0] == 1
    fill.unlink()
    aws.create_function(FunctionName="large", **given)
    aws.get_waiter("function_active_v2").wait(FunctionName="large", WaiterConfig={"Delay": 0.05})
    assert small_disk.invoke("large", {"do": "return 2"})[0] == 2


def test_not_a_byte_left(small_disk: RunningServer) -> None:
    """Not even the log can be written: what is there is read and invoked all the same."""
    small_disk.create("standing", TOOLBOX)
    fill = small_disk.data_dir / "fill"
    with fill.open("wb", buffering=0) as file:
        try:
            while file.write(b"\0" * 65536) == 65536:
                continue
        except OSError:
            pass  # full
    aws = small_disk.client("lambda")
    for number in range(3):
        assert small_disk.invoke("standing", {"do": "print('unheard')\nreturn CALLS"})[0] == number + 1
    with refused("ServiceException", "No space left on device", 500):
        aws.create_function(
            FunctionName="more", Runtime=default_runtime(), Handler="app.handler", Role=ROLE,
            Code={"ZipFile": saying("more")},
        )  # fmt: skip
    assert list(listed(small_disk)) == ["standing"]
    fill.unlink()
    small_disk.create("more", "def handler(event, context):\n    return 'more'\n")
    assert small_disk.invoke("more")[0] == "more"
    small_disk.kill()
    small_disk.start()
    assert sorted(listed(small_disk)) == ["more", "standing"]
