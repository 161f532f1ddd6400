"""A userland of functions' own: what they see, what runs in it, and builds that are cut short.

The userland is built once, from Debian's mirror, and kept (tests/support/userlands.py).
"""

from __future__ import annotations

import base64
import fcntl
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from paddock.worker.runtimes import bring, choose, debian, nodes, packages, store
from paddock.worker.sandbox import linux
from tests.support.calls import until
from tests.support.server import ROLE, ROOT, RunningServer, default_runtime, zipped
from tests.support.userlands import built, paddock

pytestmark = pytest.mark.timeout(1_200)  # the first test builds the userland

ORDINARY_UID = 54_321
LOOK = """
import os, platform, ssl, sqlite3, sys, zoneinfo
def handler(event, context):
    zoneinfo.ZoneInfo("Europe/Berlin")
    return {
        "version": platform.python_version(),
        "lists": {place: sorted(os.listdir(place)) for place in event["places"]},
        "files": {path: open(path).read() for path in event["files"]},
        "gone": [path for path in event["gone"] if os.path.exists(path)],
        "setuid": [e.path for place in ("/usr/bin", "/usr/sbin") for e in os.scandir(place)
                   if e.is_file() and e.stat().st_mode & 0o6000],
        "calls": globals().__setitem__("calls", globals().get("calls", 0) + 1) or calls,
    }
"""
NODE = """
const fs = require("fs");
let calls = 0;
exports.handler = async () => [++calls, process.version, process.execPath, fs.readFileSync("/etc/os-release", "utf8")];
"""
SHELL = """#!/bin/bash
# as in AWS's tutorial of custom runtimes
set -eu
api=http://$AWS_LAMBDA_RUNTIME_API/2018-06-01/runtime/invocation
while true; do
    head=$(mktemp)
    curl -sS -LD "$head" "$api/next" >/dev/null
    id=$(grep -Fi Lambda-Runtime-Aws-Request-Id "$head" | tr -d '[:space:]' | cut -d: -f2)
    curl -sS -X POST "$api/$id/response" -d "\\"$(. /etc/os-release; echo "$ID $VERSION_CODENAME")\\"" >/dev/null
done
"""
WHEELS = ("numpy", "pillow", "lxml", "cryptography", "pandas")
USE_WHEELS = """
import io, lxml.etree, numpy, pandas
from cryptography.fernet import Fernet
from PIL import Image
def handler(event, context):
    box, key, picture = numpy.arange(6.0).reshape(2, 3), Fernet(Fernet.generate_key()), io.BytesIO()
    Image.new("RGB", (8, 8), "red").resize((4, 4)).save(picture, "PNG")
    return [float((box @ box.T).trace()), lxml.etree.fromstring("<a><b/></a>").xpath("count(//b)"),
            key.decrypt(key.encrypt(b"seal")).decode(), picture.getvalue()[1:4].decode(),
            int(pandas.DataFrame({"k": [1, 1], "v": [2, 3]}).groupby("k").v.sum()[1])]
"""
NODES = ("nodejs22.x", "nodejs24.x")
SIBLINGS = 8
SNAPS = """
import os, random, ssl, time, uuid
uuid.uuid4(), random.random(), os.urandom(8)

def drawn():
    return [str(random.random()), str(uuid.uuid4()), ssl.RAND_bytes(8).hex(), os.urandom(8).hex()]

def handler(event, context):
    time.sleep(0.5)  # so that the next event comes to another environment
    reading, writing = os.pipe()
    if os.fork() == 0:
        os.write(writing, os.urandom(8).hex().encode())
        os._exit(0)
    os.wait()
    return {"drawn": [*drawn(), os.read(reading, 99).decode()], "stream": context.log_stream_name,
            "type": os.environ["AWS_LAMBDA_INITIALIZATION_TYPE"]}
"""


@pytest.fixture(scope="module")
def home() -> tuple[Path, store.Userland]:
    return built()


@pytest.fixture(scope="module")
def brought(home: tuple[Path, store.Userland]) -> str:
    """Node.js from npm beside it, once; why not, "" when it is there."""
    if shutil.which("npm") is None:
        return "npm is not installed"
    done = paddock("runtimes", "add", *NODES, "--runtimes-dir", str(home[0]))
    return done.stderr if "npm could not fetch" in done.stderr else ""


@pytest.fixture(scope="module")
def own(
    tmp_path_factory: pytest.TempPathFactory, home: tuple[Path, store.Userland], brought: str
) -> Iterator[RunningServer]:
    """A Paddock by root whose functions live in it."""
    del brought  # before the start, which looks for interpreters
    with RunningServer(tmp_path_factory.mktemp("userland"), runtimes_dir=home[0], userland="auto") as running:
        yield running


@pytest.fixture(scope="module")
def ordinary(home: tuple[Path, store.Userland]) -> Iterator[RunningServer]:
    """A Paddock of an ordinary user, who may use what root has built."""
    directory = Path(tempfile.mkdtemp())
    os.chown(directory, ORDINARY_UID, ORDINARY_UID)
    needed = [str(ROOT), sys.prefix, sys.base_prefix, str(directory), str(home[0])]
    launcher = [sys.executable, "-m", "tests.support.ordinary", str(ORDINARY_UID), *needed, "--"]
    with RunningServer(directory, launcher=launcher, runtimes_dir=home[0], userland="auto") as running:
        yield running
    shutil.rmtree(directory)


def log_of(server: RunningServer, name: str) -> str:
    _, answer = server.invoke(name, {"places": [], "files": [], "gone": []}, LogType="Tail")
    return base64.b64decode(answer["LogResult"]).decode()


def init_start(server: RunningServer, name: str) -> str:
    """What the version line of the function's own log stream names."""
    logs = server.client("logs")

    def look() -> str:
        events = logs.filter_log_events(logGroupName=f"/aws/lambda/{name}")["events"]
        lines = [event["message"] for event in events if event["message"].startswith("INIT_START")]
        return lines[0] if lines else ""

    found = re.match(r"INIT_START Runtime Version: (\S+)\tRuntime Version ARN: (\S+)", until(look))
    assert found is not None
    return found[1]


@pytest.mark.parametrize("mode", ["own", "ordinary"])
def test_functions_see_the_userland_and_nothing_of_the_host(
    mode: str, home: tuple[Path, store.Userland], request: pytest.FixtureRequest
) -> None:
    server: RunningServer = request.getfixturevalue(mode)
    root = Path(home[1].root)
    places = ["/usr", "/usr/bin", "/usr/lib", "/usr/share", "/etc/ssl/certs", "/usr/local", "/bin", "/lib"]
    theirs = {place: sorted(os.listdir(root / place[1:])) for place in places}
    hosts = {place: set(os.listdir(place)) for place in ("/usr/bin", "/usr/lib", "/usr/share")}
    only_host = [f"{place}/{name}" for place, names in hosts.items() for name in names - set(theirs[place])]
    assert only_host, "this host has nothing that the userland has not: the test shows nothing"
    server.create("look", LOOK)
    event = {"places": places, "files": ["/etc/os-release", "/etc/debian_version"], "gone": only_host}
    for number in (1, 2):  # cold and warm
        found, answer = server.invoke("look", event)
        assert "FunctionError" not in answer, found
        assert found["lists"] == theirs
        assert found["gone"] == found["setuid"] == []
        assert f"VERSION_CODENAME={debian.RELEASE}" in found["files"]["/etc/os-release"]
        assert found["files"]["/etc/debian_version"].strip() == home[1].version
        assert found["calls"] == number
    assert init_start(server, "look") == f"python:{found['version']}"


def test_every_python_and_node_runs_in_it(own: RunningServer, home: tuple[Path, store.Userland]) -> None:
    ready = [r for r in choose.runtimes(home[0]) if r.interpreter and not packages.available(r)]
    found = [runtime for runtime in ready if runtime.userland == home[1]]
    assert found
    for runtime in found:
        function = runtime.name.replace(".", "-")
        if runtime.family.family == "python":
            own.create(function, LOOK, Runtime=runtime.name)
            result, _ = own.invoke(function, {"places": [], "files": ["/etc/os-release"], "gone": ["/mnt/usr"]})
            assert (result["version"], result["gone"]) == (runtime.version, [])
            assert debian.RELEASE in result["files"]["/etc/os-release"]
        elif runtime.family.family == "nodejs":
            own.create(function, {"index.js": NODE}, Runtime=runtime.name, Handler="index.handler")
            for number in (1, 2):
                (calls, version, program, release), _ = own.invoke(function)
                assert (calls, version, program) == (number, f"v{runtime.version}", "/var/lang/bin/node")
                assert debian.RELEASE in release
            assert init_start(own, function) == f"nodejs:{runtime.version}"


def test_the_node_that_was_brought_is_the_pinned_one(home: tuple[Path, store.Userland], brought: str) -> None:
    if brought:
        pytest.skip(brought)
    ready = {runtime.name: runtime for runtime in choose.runtimes(home[0])}
    for name in NODES:
        wanted = nodes.pinned(packages.LOCKS / bring.NODE_LOCK, name.removeprefix("nodejs"))
        assert (ready[name].version, ready[name].userland) == (wanted.version, home[1])
        again = paddock("runtimes", "add", name, "--runtimes-dir", str(home[0]))
        assert again.stdout.startswith(f"{name}: already here, {wanted.version} at ")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("python3.10", "cannot be added by Paddock: install Python 3.10"),
        ("ruby3.2", "cannot be added by Paddock: install Ruby 3.2"),
        ("java21", "cannot be added by Paddock: install a JVM of version 21"),
        ("cobol74", "is no runtime that Paddock knows: "),
        ("", "say which: paddock runtimes add"),
    ],
)
def test_what_cannot_be_brought(name: str, said: str, tmp_path: Path) -> None:
    environment = {"PATH": "/nowhere", "HOME": str(tmp_path)}  # a machine without any
    done = paddock("runtimes", "add", *filter(None, [name]), "--runtimes-dir", str(tmp_path / "store"), **environment)
    if name and "already here" in done.stdout:
        pytest.skip(f"{name} is in a place where it is always looked for")
    assert (done.returncode, said in done.stderr) == (1, True), done.stderr
    assert not (tmp_path / "store").exists()


def test_a_shells_bootstrap_runs_in_it(own: RunningServer, home: tuple[Path, store.Userland]) -> None:
    client = own.client("lambda")
    code = {"ZipFile": zipped({"bootstrap": SHELL}, 0o755)}
    client.create_function(FunctionName="shell", Runtime="provided.al2023", Handler="x", Role=ROLE, Code=code)
    client.get_waiter("function_active_v2").wait(FunctionName="shell", WaiterConfig={"Delay": 0.05})
    assert own.invoke("shell")[0] == f"debian {debian.RELEASE}"
    assert init_start(own, "shell") == f"provided:{home[1].label}"


def test_native_wheels_run_in_it(own: RunningServer, tmp_path: Path) -> None:
    package = tmp_path / "package"
    install = [sys.executable, "-m", "pip", "install", "-q", "--target", str(package), "--only-binary=:all:"]
    done = subprocess.run([*install, *WHEELS], check=False, capture_output=True, text=True)
    if done.returncode:
        pytest.skip("the wheels can not be installed here: " + done.stderr[-200:])
    kept = (p for p in package.rglob("*") if p.is_file() and not {"tests", "__pycache__", "bin"} & set(p.parts))
    files = {str(path.relative_to(package)): path.read_bytes() for path in kept}
    own.create("wheels", {**files, "app.py": USE_WHEELS.encode()}, MemorySize=1769, Timeout=120)
    for _ in range(2):
        assert own.invoke("wheels")[0] == [55.0, 1.0, "seal", "PNG", 5]


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="SnapStart is for x86_64")
def test_restored_environments_draw_numbers_of_their_own(own: RunningServer, home: tuple[Path, store.Userland]) -> None:
    """The userland's C library may keep what it draws them from in memory, which a snapshot must not hold."""
    runtime = max((name for name in home[1].programs if name.startswith("python")), key=len)
    own.create("snaps", SNAPS, Runtime=runtime, SnapStart={"ApplyOn": "PublishedVersions"}, MemorySize=256)
    client = own.client("lambda", max_pool_connections=SIBLINGS)
    client.publish_version(FunctionName="snaps")
    client.get_waiter("published_version_active").wait(
        FunctionName="snaps", Qualifier="1", WaiterConfig={"Delay": 0.1, "MaxAttempts": 600}
    )

    def ask(_: int) -> Any:
        payload = client.invoke(FunctionName="snaps", Qualifier="1", Payload=b"{}")["Payload"].read()
        return json.loads(payload)

    with ThreadPoolExecutor(SIBLINGS) as pool:
        found = list(pool.map(ask, range(SIBLINGS)))
    assert {each["type"] for each in found} == {"snap-start"}
    assert len({each["stream"] for each in found}) > 1, "one environment served all: the test shows nothing"
    drawn = [number for each in found for number in each["drawn"]]
    assert len(set(drawn)) == len(drawn)


def test_it_is_said_where_functions_live(own: RunningServer, home: tuple[Path, store.Userland]) -> None:
    place, userland = home
    assert f"userland    functions see {userland.label} ({userland.name})" in own.log
    listed = paddock("runtimes", "--runtimes-dir", str(place)).stdout.splitlines()
    lines = {line.split()[0]: line.split() for line in listed}
    assert lines[default_runtime()][2:4] == [userland.name, "ready:"]
    report = json.loads(paddock("doctor", "--json", "--runtimes-dir", str(place)).stdout)
    seen = next(check for check in report["checks"] if "userland" in check["name"])
    assert userland.name in seen["detail"]
    assert userland.name in paddock("userland", "--runtimes-dir", str(place)).stdout
    assert paddock("userland", "prune", "--runtimes-dir", str(place)).stdout.startswith("nothing to remove")


def test_a_running_paddock_keeps_it_from_being_pruned(own: RunningServer, home: tuple[Path, store.Userland]) -> None:
    assert own.log
    entry = os.open(Path(home[1].root).parent, os.O_RDONLY)
    try:
        with pytest.raises(BlockingIOError):
            fcntl.flock(entry, fcntl.LOCK_EX | fcntl.LOCK_NB)
    finally:
        os.close(entry)


def test_the_host_is_the_fallback_and_is_declared(tmp_path: Path, home: tuple[Path, store.Userland]) -> None:
    with RunningServer(tmp_path, runtimes_dir=home[0], userland="host") as server:
        assert "functions see the host's /usr, read-only" in server.log
        server.create("fallback", LOOK)
        found, _ = server.invoke("fallback", {"places": ["/usr/bin"], "files": ["/etc/os-release"], "gone": []})
        assert found["lists"]["/usr/bin"] == sorted(os.listdir("/usr/bin"))
        assert "Paddock host userland" in found["files"]["/etc/os-release"]


# -- builds that are cut short


def test_a_store_that_others_may_write_to_stops_the_start(tmp_path: Path) -> None:
    for name in ("serving", "userlands"):
        (tmp_path / name).mkdir()
    (tmp_path / "serving" / "all").symlink_to("../userlands/x")
    (tmp_path / "userlands").chmod(0o777)
    done = paddock("up", "--port", "0", "--data-dir", str(tmp_path / "data"), "--runtimes-dir", str(tmp_path))
    assert done.returncode == 1
    assert "could have been written by others" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_killed_build_leaves_nothing_that_runs_or_serves(tmp_path: Path, home: tuple[Path, store.Userland]) -> None:
    del home  # that one can be built here at all
    command = [sys.executable, "-m", "paddock", "userland", "build", "--runtimes-dir", str(tmp_path)]
    building = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    until(lambda: building.poll() is not None or list(tmp_path.glob("userlands/making-*/*/debootstrap")))
    assert building.poll() is None
    second = paddock("userland", "build", "--runtimes-dir", str(tmp_path))
    assert (second.returncode, "wait for it" in second.stderr) == (1, True)
    building.send_signal(signal.SIGKILL)
    building.wait()
    until(lambda: not at_work_in(tmp_path))
    assert store.read(tmp_path) == {}
    assert store.every(tmp_path) == []
    with store.making(tmp_path, "userlands"):  # the next one sweeps what is left
        assert len(list((tmp_path / "userlands").iterdir())) == 1


def at_work_in(directory: Path) -> list[str]:
    """The command lines of living processes that name the directory."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if str(directory) in line and "pytest" not in line:
            found.append(line)
    return found


def test_a_full_disk_is_said_and_leaves_nothing(tmp_path: Path, home: tuple[Path, store.Userland]) -> None:
    """On a file system of its own that is too small, which the look at its free space would refuse at once."""
    del home
    linux.mount("small", str(tmp_path), "tmpfs", linux.MS_NOSUID | linux.MS_NODEV, "size=40m,mode=755")
    try:
        refused = paddock("userland", "build", "--runtimes-dir", str(tmp_path))
        assert (refused.returncode, "no space for it" in refused.stderr) == (1, True)
        script = (
            "from pathlib import Path; from datetime import datetime, UTC; from paddock.worker.runtimes import debian\n"
            "debian.SPACE_BYTES_MIN = 0\n"
            f"debian.build(debian.plan(debian.RELEASE, debian.configured_mirror()), Path({str(tmp_path)!r}), "
            "datetime.now(UTC), print)"
        )
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, cwd=ROOT)
        assert done.returncode == 1
        assert "CannotBuild: debootstrap failed" in done.stderr
        assert list((tmp_path / "userlands").iterdir()) == []
        assert store.read(tmp_path) == {}
    finally:
        linux.umount_detach(str(tmp_path))


def test_a_mirror_that_is_none(tmp_path: Path, home: tuple[Path, store.Userland]) -> None:
    del home
    done = paddock("userland", "build", "--mirror", "http://127.0.0.1:1/debian", "--runtimes-dir", str(tmp_path))
    assert done.returncode == 1
    assert "debootstrap failed: E: " in done.stderr
    assert list((tmp_path / "userlands").iterdir()) == []
