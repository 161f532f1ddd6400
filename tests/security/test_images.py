"""Images that want out: what their content says must never touch the host, nor what an environment brings itself."""

from __future__ import annotations

import tarfile
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from botocore.exceptions import WaiterError

from tests.support import clients
from tests.support.images import DIRECTORY, Content, File, Image, Special, layer, link, probe
from tests.support.registry import Registry
from tests.support.server import ROLE, RunningServer

WAIT = {"Delay": 0.05, "MaxAttempts": 400}
Ask = Callable[[str], Any]
READ_ONLY = "error 30 Read-only file system"


@pytest.fixture(scope="module")
def registry() -> Iterator[Registry]:
    with Registry() as running:
        yield running


@pytest.fixture(scope="module")
def program() -> bytes:
    try:
        return probe()
    except clients.Missing as error:
        pytest.skip(str(error))


def begin(paddock: RunningServer, registry: Registry, name: str, image: Image) -> None:
    registry.put(name, "1", image)
    client = paddock.client("lambda")
    code = {"ImageUri": f"{registry.host}/{name}:1"}
    client.create_function(FunctionName=name, PackageType="Image", Code=code, Role=ROLE, MemorySize=512, Timeout=20)
    client.get_waiter("function_active_v2").wait(FunctionName=name, WaiterConfig=WAIT)


def asking(paddock: RunningServer, name: str) -> Ask:
    def ask(event: str) -> Any:
        found, answer = paddock.invoke(name, event)
        assert "FunctionError" not in answer, found
        return found

    return ask


@pytest.fixture(scope="module")
def hostile(paddock: RunningServer, registry: Registry, program: bytes) -> Ask:
    """Everything that could be tried at once, in an image that can be unpacked."""
    content: dict[str, Content] = {
        "app/probe": File(program, 0o755),
        "app/root": File(program, 0o6755),
        "host": link("/"),
        "up": link("../../../../../../../.."),
        "through-init": link("/proc/1/root"),
        "shadow": link("/etc/shadow"),
        "old-root": link("/mnt/mnt"),
        # where the environment mounts its own
        "proc": link("/app"),
        "dev": link("/etc"),
        "tmp": link("/app"),
        "mnt": link("/proc/self/root"),
        "etc/hosts": link("/app/probe"),
        "etc/resolv.conf": link("/proc/1/environ"),
        "etc/passwd": File(b"root::0:0:mine:/:/bin/sh\n"),
        "etc/ld.so.preload": File(b"/app/evil.so\n"),
        # devices, by every name
        "app/null": Special(tarfile.CHRTYPE, device=(1, 3), mode=0o666),
        "app/mem": Special(tarfile.CHRTYPE, device=(1, 1), mode=0o666),
        "app/disk": Special(tarfile.BLKTYPE, device=(254, 0), mode=0o666),
        "app/pipe": Special(tarfile.FIFOTYPE),
    }
    begin(paddock, registry, "hostile", Image([layer(content)], entry_point=["/app/probe"], user="root"))
    return asking(paddock, "hostile")


def test_the_image_is_all_there_is(hostile: Ask) -> None:
    own = {"app", "dev", "etc", "mnt", "proc", "tmp", "host", "up", "through-init", "shadow", "old-root"}
    for root in ("/", "/host", "/up", "/host/up/host"):
        assert set(hostile(f"list {root}").split()) == own, root
    assert hostile("path /up/../../..") == "/"
    assert hostile("read /shadow").startswith("error 2 ")
    assert hostile("read /etc/passwd") == "root::0:0:mine:/:/bin/sh\n"
    assert hostile("list /old-root").startswith("error 2 ")
    assert hostile("list /mnt") == ""
    assert hostile("uid") == "993"


def test_what_the_environment_brings_is_not_the_images(hostile: Ask) -> None:
    assert hostile("link /proc/self/exe") == "/app/probe"
    assert set(hostile("list /dev").split()) == {
        "null", "zero", "full", "random", "urandom", "fd", "stdin", "stdout", "stderr"
    }  # fmt: skip
    assert hostile("mode /dev/null") == "20666"
    assert hostile("read /etc/hosts").startswith("127.0.0.1 localhost")
    assert not hostile("read /etc/resolv.conf").startswith("error")
    assert hostile("write /tmp/x") == "written"
    assert hostile("read /app/x").startswith("error 2 ")


def test_nothing_of_it_can_be_written(hostile: Ask) -> None:
    for path in ("/app/x", "/app/probe", "/etc/passwd", "/etc/hosts", "/x", "/mnt/x", "/dev/x", "/proc/sys/kernel/x"):
        assert hostile(f"write {path}").startswith("error "), path
    assert hostile("write /app/x") == READ_ONLY


def test_no_device_and_no_setuid_program_came_along(hostile: Ask) -> None:
    for name in ("null", "mem", "disk", "pipe"):
        assert hostile(f"mode /app/{name}").startswith("error 2 "), name
    assert hostile("mode /app/root") == "100755"
    for path in ("/tmp/null", "/app/null", "/dev/mine"):
        assert hostile(f"mkdev {path}").startswith("error "), path
    assert hostile("mkdev /tmp/null").startswith("error 1 ")


def test_no_way_through_init_or_other_processes(hostile: Ask) -> None:
    assert hostile("list /through-init").startswith("error ")
    assert "1" not in hostile("list /proc").split()
    assert hostile("read /proc/1/environ").startswith("error ")
    assert hostile("read /proc/kcore").startswith("error ") or hostile("read /proc/kcore") == ""


def test_no_root_of_ones_own(hostile: Ask) -> None:
    assert hostile("chroot /tmp").startswith("error 1 ")
    assert hostile("mount /tmp").startswith("error 1 ")


def test_what_is_mounted_tells_of_nothing_writable(hostile: Ask) -> None:
    """No mount of the first root is left: the image, and what it was given."""
    mounts = [line.split() for line in hostile("read /proc/self/mountinfo").splitlines()]
    points = {fields[4]: fields[5].split(",") for fields in mounts}
    assert not [point for point in points if point.startswith(("/usr", "/var", "/lib", "/bin", "/opt"))]
    assert {"/", "/proc", "/dev", "/tmp", "/etc/hosts", "/etc/resolv.conf"} <= set(points)
    assert "ro" in points["/"]
    assert {"nosuid", "nodev"} <= set(points["/"])
    writable = {point for point, options in points.items() if "rw" in options}
    assert writable <= {"/tmp", "/proc", *(point for point in points if point.startswith(("/dev/", "/proc/")))}


@pytest.mark.parametrize(
    "content",
    [
        [("../../../../tmp/paddock-was-here", File(b"x"))],
        [("a", link("/tmp")), ("a/paddock-was-here", File(b"x"))],
        [("a", link("/etc")), ("b", Special(tarfile.LNKTYPE, "a/passwd"))],
        [("b", Special(tarfile.LNKTYPE, "../../../../../../etc/passwd"))],
        [("d", DIRECTORY), ("d/.wh....", File()), ("d/.wh...", File())],
    ],
)
def test_content_that_leads_out_is_refused(
    paddock: RunningServer, registry: Registry, hostile: Ask, content: list[tuple[str, Content]]
) -> None:
    name = f"leads-out-{abs(hash(str(content)))}"
    with pytest.raises(WaiterError):
        begin(paddock, registry, name, Image([layer(content)], entry_point=["/x"]))
    found = paddock.client("lambda").get_function_configuration(FunctionName=name)
    assert found["StateReasonCode"] == "InvalidImage"
    assert hostile("echo alive") == "alive"


def test_a_later_layer_does_not_write_through_an_earlier_ones_link(
    paddock: RunningServer, registry: Registry, program: bytes
) -> None:
    lower = layer({"app/probe": File(program, 0o755), "out": link("/proc/self/cwd/../../../.."), "tmp2": link("/tmp")})
    upper = layer({"out/x": File(b"x"), "tmp2/x": File(b"x"), ".wh.out2": File(), "tmp2/.wh.y": File()})
    begin(paddock, registry, "through", Image([lower, upper], entry_point=["/app/probe"]))
    ask = asking(paddock, "through")
    assert ask("read /out/x") == "x"
    assert ask("list /tmp") == ""  # the environment's own lies over what went there


def test_neighbours_have_nothing_in_common_but_what_they_read(
    paddock: RunningServer, registry: Registry, program: bytes, hostile: Ask
) -> None:
    begin(
        paddock, registry, "neighbour", Image([layer({"app/probe": File(program, 0o755)})], entry_point=["/app/probe"])
    )
    ask = asking(paddock, "neighbour")
    assert hostile("write /tmp/mine") == "written"
    assert ask("read /tmp/mine").startswith("error 2 ")
    assert set(ask("list /").split()) == {"app", "dev", "etc", "mnt", "proc", "tmp"}


def test_a_registry_cannot_send_the_server_to_a_clouds_credentials(paddock: RunningServer, registry: Registry) -> None:
    client = paddock.client("lambda")
    for uri in ("169.254.169.254/latest/meta-data:1", "[fe80::1]/a:1"):
        with pytest.raises(client.exceptions.InvalidParameterValueException):
            client.create_function(FunctionName="metadata", PackageType="Image", Code={"ImageUri": uri}, Role=ROLE)
