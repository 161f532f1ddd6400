"""Functions that are container images: made, run, updated and published through boto3, their images made here."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError, WaiterError

from tests.support import clients
from tests.support.extensions import extension
from tests.support.images import (
    DIRECTORY,
    Content,
    File,
    Image,
    Layer,
    host_python,
    layer,
    link,
    probe,
    tar,
    write_layout,
)
from tests.support.registry import Registry
from tests.support.server import ROLE, ROOT, RunningServer
from tests.support.terraform import ready

WAIT = {"Delay": 0.05, "MaxAttempts": 400}
PULL_TIMEOUT_S = 8


@pytest.fixture(scope="module")
def program() -> bytes:
    try:
        return probe()
    except clients.Missing as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def shelf() -> Iterator[Path]:
    """Where images may lie. pytest's own directories are closed to the user that the server becomes."""
    with tempfile.TemporaryDirectory(prefix="paddock-images-") as directory:
        os.chmod(directory, 0o755)
        yield Path(directory)


@pytest.fixture(scope="module")
def registry() -> Iterator[Registry]:
    with Registry() as running:
        yield running


@pytest.fixture(scope="module")
def private() -> Iterator[Registry]:
    with Registry(me="top-secret-password") as running:
        yield running


@pytest.fixture(scope="module")
def server(
    tmp_path_factory: pytest.TempPathFactory, shelf: Path, registry: Registry, private: Registry
) -> Iterator[RunningServer]:
    credentials = shelf / "config.json"
    credentials.write_text(json.dumps({"auths": {private.host: {"username": "me", "password": "top-secret-password"}}}))
    with RunningServer(
        tmp_path_factory.mktemp("paddock"),
        image_directories=shelf,
        image_pull_timeout_s=PULL_TIMEOUT_S,
        image_mirrors=f"far.example=http://{registry.host}",
        registry_credentials=credentials,
    ) as running:
        yield running


@pytest.fixture
def aws(server: RunningServer) -> Any:
    return server.client("lambda")


def app(program: bytes, **more: Any) -> Image:
    made = layer({"app/": DIRECTORY, "app/probe": File(program, 0o755)})
    return Image([made], **{"entry_point": ["/app/probe"], **more})


def marked(image: Image, text: str) -> Image:
    """The image with one more layer, which says something."""
    return Image([*image.layers, layer({"mark": File(text.encode())})], entry_point=image.entry_point)


def begin(aws: Any, name: str, uri: str, **settings: Any) -> None:
    aws.create_function(
        FunctionName=name, PackageType="Image", Code={"ImageUri": uri}, Role=ROLE, **{"MemorySize": 512, **settings}
    )


def create(aws: Any, name: str, uri: str, **settings: Any) -> dict[str, Any]:
    """Create it and wait until it is what it becomes."""
    begin(aws, name, uri, **settings)
    aws.get_waiter("function_active_v2").wait(FunctionName=name, WaiterConfig=WAIT)
    found: dict[str, Any] = aws.get_function(FunctionName=name)
    return found


def settled(aws: Any, name: str) -> None:
    aws.get_waiter("function_updated_v2").wait(FunctionName=name, WaiterConfig=WAIT)


@contextmanager
def refused(pattern: str) -> Iterator[None]:
    with pytest.raises(ClientError) as caught:
        yield
    assert caught.value.response["Error"]["Code"] == "InvalidParameterValueException"
    assert re.search(pattern, caught.value.response["Error"]["Message"]), caught.value


# -- what runs


def test_an_image_from_a_layout_runs(server: RunningServer, aws: Any, name: str, program: bytes, shelf: Path) -> None:
    image = app(program, command=["one"], environment=["AA=image", "BB=image", "PATH=/app"], working_directory="/app")
    uri = image.layout(shelf / name)
    found = create(aws, name, uri, Environment={"Variables": {"BB": "function"}})
    configuration = found["Configuration"]
    assert configuration["PackageType"] == "Image"
    assert configuration["CodeSha256"] == image.config_digest
    assert configuration["CodeSize"] == 0
    assert not {"Runtime", "Handler", "Layers", "ImageConfigResponse"} & set(configuration)
    resolved = f"oci:{shelf / name}@{image.digest}"
    assert found["Code"] == {"RepositoryType": "ECR", "ImageUri": uri, "ResolvedImageUri": resolved}

    def ask(event: str) -> Any:
        answer, response = server.invoke(name, event)
        assert "FunctionError" not in response, answer
        return answer

    assert ask("echo hello") == "hello"
    assert ask("args") == "/app/probe|one|"
    assert ask("cwd") == "/app"
    assert ask("env PWD") == "/app"
    assert ask("uid") == "993"
    assert [ask(f"env {key}") for key in ("AA", "BB", "PATH")] == ["image", "function", "/app"]
    assert ask("env AWS_LAMBDA_RUNTIME_API") == "169.254.100.1:9001"
    assert ask("env LAMBDA_TASK_ROOT") == "/var/task"
    assert ask("env _HANDLER") == ask("env LD_LIBRARY_PATH") == ask("env AWS_EXECUTION_ENV") == "(none)"
    assert set(ask("list /").split()) == {"app", "dev", "etc", "mnt", "proc", "tmp"}
    assert ask("read /etc/hosts").startswith("127.0.0.1 localhost")
    assert ask("write /tmp/x") == "written"
    assert ask("write /app/x") == "error 30 Read-only file system"
    assert ask("write /etc/hosts").startswith("error 30")
    assert ask("list /mnt") == ""
    failed, response = server.invoke(name, "fail on purpose")
    assert response["FunctionError"] == "Unhandled"
    assert failed == {"errorType": "Probe.Failed", "errorMessage": "on purpose"}
    crashed, response = server.invoke(name, "exit 7")
    assert crashed["errorType"] == "Runtime.ExitError"
    assert ask("read /tmp/x") == "x"


def test_create_update_publish(server: RunningServer, aws: Any, name: str, program: bytes, shelf: Path) -> None:
    first, second = marked(app(program), "first"), marked(app(program), "second")
    uri = first.archive(shelf / f"{name}.tar", "team/app:1")
    create(aws, name, uri + ":team/app:1")
    assert server.invoke(name, "read /mark")[0] == "first"
    published = aws.publish_version(FunctionName=name)
    assert published["CodeSha256"] == first.config_digest
    second.archive(shelf / f"{name}.tar")  # the name now means another image, and changes nothing by itself
    assert server.invoke(name, "read /mark")[0] == "first"
    updated = aws.update_function_code(FunctionName=name, ImageUri=uri)
    assert updated["LastUpdateStatus"] == "InProgress"
    settled(aws, name)
    assert server.invoke(name, "read /mark")[0] == "second"
    assert server.invoke(name, "read /mark", Qualifier="1")[0] == "first"
    assert aws.get_function(FunctionName=name, Qualifier="1")["Code"]["ImageUri"] == uri + ":team/app:1"
    changed = aws.update_function_configuration(
        FunctionName=name, ImageConfig={"Command": ["a", "b"], "WorkingDirectory": "/tmp"}
    )
    shown = {"ImageConfig": {"Command": ["a", "b"], "WorkingDirectory": "/tmp"}}
    assert changed["ImageConfigResponse"] == shown
    settled(aws, name)
    assert server.invoke(name, "args")[0] == "/app/probe|a|b|"
    assert server.invoke(name, "cwd")[0] == "/tmp"
    cleared = aws.update_function_configuration(FunctionName=name, ImageConfig={})
    assert "ImageConfigResponse" not in cleared
    settled(aws, name)
    assert server.invoke(name, "args")[0] == "/app/probe|"
    with refused("Please provide ImageUri when updating a function with packageType Image"):
        aws.update_function_code(FunctionName=name, ZipFile=b"x")
    with refused("handler or runtime or layer"):
        aws.update_function_configuration(FunctionName=name, Runtime="python3.12")
    with refused("SnapStart is not supported for functions with packageType Image"):
        aws.update_function_configuration(FunctionName=name, SnapStart={"ApplyOn": "PublishedVersions"})
    with refused("Runtime management is not supported"):
        aws.get_runtime_management_config(FunctionName=name)


def test_layers_replace_remove_and_link(
    server: RunningServer, aws: Any, name: str, program: bytes, shelf: Path
) -> None:
    """What a later layer says counts, whatever it is that stood there."""
    lower = layer(
        {
            "app/probe": File(program, 0o755),
            "usr/lib/a": File(b"a"),
            "lib": link("usr/lib"),
            "gone/file": File(b"x"),
            "kept/file": File(b"kept"),
            "opaque/old": File(b"old"),
            "was-file": File(b"file"),
            "was-directory/inner": File(b"inner"),
        },
        compression="",
    )
    upper = layer(
        {
            "lib/b": File(b"b"),  # below a link of the lower layer
            ".wh.gone": File(),
            "opaque/.wh..wh..opq": File(),
            "opaque/new": File(b"new"),
            "was-file": DIRECTORY,
            "was-file/inner": File(b"inner"),
            "was-directory": File(b"file"),
            "./kept/other": File(b"other"),
        }
    )
    create(aws, name, Image([lower, upper], entry_point=["/app/probe"]).layout(shelf / name))
    expected = {
        "read /lib/b": "b",
        "read /usr/lib/b": "b",
        "read /lib/a": "a",
        "link /lib": "usr/lib",
        "list /gone": "error 2 No such file or directory",
        "list /opaque": "new ",
        "read /was-file/inner": "inner",
        "read /was-directory": "file",
        "read /kept/file": "kept",
        "read /kept/other": "other",
    }
    assert {event: server.invoke(name, event)[0] for event in expected} == expected


@pytest.mark.parametrize(
    ("changes", "error_type", "text"),
    [
        ({"entry_point": ["/absent"]}, "Runtime.InvalidEntrypoint", "fork/exec /absent: no such file or directory"),
        ({"entry_point": ["absent"]}, "Runtime.InvalidEntrypoint", 'exec: "absent": executable file not found'),
        ({"entry_point": []}, "Runtime.InvalidEntrypoint", "the image has no entry point and no command"),
        ({"entry_point": ["/mark"]}, "Runtime.InvalidEntrypoint", "fork/exec /mark: permission denied"),
        ({"entry_point": ["/text"]}, "Runtime.InvalidEntrypoint", "fork/exec /text: exec format error"),
        ({"working_directory": "/absent"}, "Runtime.InvalidWorkingDir", "chdir /absent: no such file or directory"),
    ],
)  # fmt: skip
def test_what_cannot_be_started(
    server: RunningServer,
    aws: Any,
    name: str,
    program: bytes,
    shelf: Path,
    changes: dict[str, Any],
    error_type: str,
    text: str,
) -> None:
    more = layer({"mark": File(b"x"), "text": File(b"no program", 0o755)})
    image = Image([*app(program).layers, more], **{"entry_point": ["/app/probe"], **changes})
    create(aws, name, image.layout(shelf / re.sub(r"\W", "-", name)))
    failed, response = server.invoke(name, "echo")
    assert response["FunctionError"] == "Unhandled"
    assert failed["errorType"] == error_type
    request_id = response["ResponseMetadata"]["RequestId"]
    assert failed["errorMessage"].startswith(f"RequestId: {request_id} Error: {text}")


def test_it_survives_a_restart_without_its_registry(tmp_path: Path, program: bytes, name: str) -> None:
    with RunningServer(tmp_path) as server:
        with Registry() as registry:
            registry.put("app", "1", marked(app(program), "pulled"))
            create(server.client("lambda"), "f", f"{registry.host}/app:1")
        server.stop()
        server.start()
        assert server.invoke("f", "read /mark")[0] == "pulled"


def test_a_kill_in_the_middle_of_a_pull(tmp_path: Path, program: bytes) -> None:
    """What was created is pulled by the next server, and what had come half is gone."""
    with RunningServer(tmp_path) as server, Registry() as registry:
        registry.put("app", "1", app(program))
        registry.faults = {digest: "hang" for digest in app(program).blobs if app(program).config_digest not in digest}
        begin(server.client("lambda"), "f", f"{registry.host}/app:1")
        registry.wait_for("/blobs/", 2)
        assert server.client("lambda").get_function_configuration(FunctionName="f")["State"] == "Pending"
        server.kill()
        registry.faults = {}
        server.start()
        server.client("lambda").get_waiter("function_active_v2").wait(FunctionName="f", WaiterConfig=WAIT)
        assert server.invoke("f", "echo whole")[0] == "whole"
        assert not list((server.data_dir / "server/images/blobs/incoming").iterdir())


ENTRY_POINT = """#!/bin/sh
# As in AWS's base images: the command is the handler, and /var/runtime/bootstrap runs it.
[ $# = 1 ] || { echo "entrypoint requires the handler name to be the first argument" >&2; exit 142; }
export _HANDLER="$1"
[ -n "$AWS_LAMBDA_RUNTIME_API" ] || exec /usr/local/bin/aws-lambda-rie /var/runtime/bootstrap
exec /var/runtime/bootstrap
"""
BOOTSTRAP = """#!/bin/sh
export AWS_EXECUTION_ENV=AWS_Lambda_python_of_an_image
exec /usr/bin/python3 -m awslambdaric "$_HANDLER"
"""
EXTENSION = """
register("INVOKE", "SHUTDOWN")
while True:
    say("got", following()["eventType"])
"""


@pytest.fixture(scope="module")
def base() -> tuple[Layer, Layer]:
    """Layers as of AWS's base images for Python: a userland, and what is in /var/runtime."""
    try:
        userland, client = host_python(), clients.python_client()
    except clients.Missing as error:
        pytest.skip(str(error))
    runtime: dict[str, Content] = {
        f"var/runtime/{name}": File(content) for name, content in client.items() if name not in ("app.py", "bootstrap")
    }
    runtime["var/runtime/bootstrap"] = File(BOOTSTRAP.encode(), 0o755)
    runtime["lambda-entrypoint.sh"] = File(ENTRY_POINT.encode(), 0o755)
    return layer(userland, ""), layer(runtime)


def python_image(base: tuple[Layer, Layer], **more: Any) -> Image:
    code: dict[str, Content] = {f"var/task/{name}": File(text) for name, text in clients.python().items()}
    code["opt/extensions/watcher"] = File(extension(EXTENSION).encode(), 0o755)
    given = {
        "entry_point": ["/lambda-entrypoint.sh"],
        "command": ["app.handler"],
        "environment": [
            "LANG=en_US.UTF-8", "TZ=:/etc/localtime", "PATH=/var/lang/bin:/usr/local/bin:/usr/bin/:/bin:/opt/bin",
            "LD_LIBRARY_PATH=/var/lang/lib:/lib64:/usr/lib64:/var/runtime:/var/task:/opt/lib",
            "LAMBDA_TASK_ROOT=/var/task", "LAMBDA_RUNTIME_DIR=/var/runtime", "PYTHONPATH=/var/runtime",
        ],
        "working_directory": "/var/task",
    }  # fmt: skip
    return Image([*base, layer(code)], **{**given, **more})


def test_the_layout_of_awss_base_images(
    server: RunningServer, aws: Any, name: str, base: tuple[Layer, Layer], registry: Registry
) -> None:
    """Their entry point, AWS's own runtime client, unmodified, and an extension."""
    registry.put("python", "1", python_image(base))
    create(aws, name, f"{registry.host}/python:1", Timeout=20, MemorySize=1769)
    found, response = server.invoke(name, {"do": "tell"}, LogType="Tail")
    assert "FunctionError" not in response, base64.b64decode(response["LogResult"]).decode()
    assert found["event"] == {"do": "tell"}
    assert found["id"] == response["ResponseMetadata"]["RequestId"]
    assert found["name"] == name
    failed, response = server.invoke(name, {"do": "raise"}, LogType="Tail")
    assert response["FunctionError"] == "Unhandled"
    assert (failed["errorType"], failed["errorMessage"]) == ("ValueError", "boom")
    tail = base64.b64decode(response["LogResult"]).decode()
    assert "a line of the function" in tail
    assert "watcher got INVOKE" in tail
    assert server.invoke(name, {"do": "read", "path": "/proc/self/status"})[0].startswith("Name:\tpython3")
    aws.update_function_configuration(FunctionName=name, ImageConfig={"Command": ["absent.handler"]})
    settled(aws, name)
    failed, _ = server.invoke(name, {"do": "tell"})
    assert failed["errorType"] == "Runtime.ImportModuleError"
    aws.update_function_configuration(FunctionName=name, ImageConfig={"Command": ["two", "words"]})
    settled(aws, name)
    failed, _ = server.invoke(name, {"do": "tell"})
    assert failed["errorType"] == "Runtime.ExitError"
    assert "exit status 142" in failed["errorMessage"]


# -- registries


def test_a_registry_with_tokens(server: RunningServer, aws: Any, name: str, program: bytes, private: Registry) -> None:
    wrong = app(program, architecture="s390x")
    private.put("team/app", "1", wrong, marked(app(program), "one"))
    uri = f"{private.host}/team/app:1"
    private.faults = {"/blobs/": "elsewhere"}
    found = create(aws, name, uri)
    assert found["Code"]["ResolvedImageUri"] == f"{private.host}/team/app@{marked(app(program), 'one').digest}"
    assert server.invoke(name, "read /mark")[0] == "one"
    assert private.elsewhere
    assert not any("authorization" in headers for headers in private.elsewhere)
    private.put("team/app", "1", marked(app(program), "two"))
    before = private.asked_for("/blobs/")
    assert server.invoke(name, "read /mark")[0] == "one"
    aws.update_function_code(FunctionName=name, ImageUri=uri)
    settled(aws, name)
    assert server.invoke(name, "read /mark")[0] == "two"
    # The configuration and the one layer that is new: each refused once, then with its token.
    assert private.asked_for("/blobs/") - before == 4
    log = server.log
    assert "top-secret" not in log
    assert "a-token-for" not in log
    assert "secret=signed" not in log


def test_a_mirror_is_asked_instead(
    server: RunningServer, aws: Any, name: str, program: bytes, registry: Registry
) -> None:
    registry.put("mirrored/app", "latest", app(program))
    create(aws, name, "far.example/mirrored/app")
    assert server.invoke(name, "echo near")[0] == "near"


def image_without_layers(**more: Any) -> Image:
    return Image([layer({"x": File(b"x")})], entry_point=["/x"], **more)


def test_what_is_no_image_for_this_machine_is_refused_at_once(
    server: RunningServer, aws: Any, name: str, registry: Registry, private: Registry, shelf: Path
) -> None:
    def make(uri: str) -> None:
        begin(aws, name, uri)

    def put(tag: str, *images: Image) -> str:
        registry.put("bad", tag, *images)
        return f"{registry.host}/bad:{tag}"

    fine = image_without_layers()
    with refused(r"Source image .*/bad:absent does not exist\. Provide a valid source image"):
        make(f"{registry.host}/bad:absent")
    with refused("made for linux/s390x"):
        make(put("arch", image_without_layers(architecture="s390x")))
    with refused("no image for linux/"):
        make(put("arches", *(image_without_layers(architecture=one) for one in ("s390x", "ppc64le"))))
    with refused("media type .* is not supported"):
        make(put("schema", image_without_layers(more={"schemaVersion": 1})))
    with refused("media type .* is not supported"):
        make(put("zip", image_without_layers(more={"layers": [{"mediaType": "zip", "digest": "sha256:", "size": 1}]})))
    with refused("does not name as many layers"):
        make(put("short", image_without_layers(diff_ids=[])))
    huge = {"mediaType": fine.layers[0].media_type, "digest": "sha256:" + "0" * 64, "size": 1 << 40}
    with refused("and 10737418240 are allowed"):
        make(put("huge", image_without_layers(more={"layers": [huge]})))
    registry.faults = {"manifests/corrupt": "corrupt", "manifests/500": 500, "manifests/no": 403}
    put("corrupt", fine)
    with refused("arrived with the digest|is not valid|not supported"):
        make(f"{registry.host}/bad:corrupt")
    with refused("arrived|has the digest"):
        registry.faults[f"manifests/{fine.digest}"] = "corrupt"
        make(f"{registry.host}/bad@{fine.digest}")
    with refused("could not give .*: it answered 500"):
        make(f"{registry.host}/bad:500")
    with refused("does not have permission to pull"):
        make(f"{registry.host}/bad:no")
    with refused("does not exist"):
        make(f"{private.host}/bad:absent")
    with refused("could not give"):
        make("127.0.0.1:1/nobody/listens:1")
    for uri in ("", "UPPER/case", "a b", "x" * 2000, "oci:relative", "oci:/a/../b", "docker-archive:x"):
        with refused("ImageUri|is not valid"):
            make(uri)
    outside = shelf.parent / "not-allowed"
    with refused("below the directories of the setting image_directories only"):
        make(f"oci:{outside}:1")
    (shelf / "leads-out").symlink_to("/etc")
    with refused("below the directories"):
        make(f"docker-archive:{shelf}/leads-out/passwd")
    (shelf / "no-archive.tar").write_bytes(b"no tar" * 1000)
    with refused("is no archive of `docker save`"):
        make(f"docker-archive:{shelf}/no-archive.tar")
    write_layout(shelf / "two", {"a": fine, "b": image_without_layers(command=["b"])})
    with refused("does not exist"):
        make(f"oci:{shelf}/two:c")
    with pytest.raises(ClientError, match="ResourceNotFound"):
        aws.get_function(FunctionName=name)


@pytest.mark.parametrize("fault", ["corrupt", "truncate", 500, 403, 404, "hang"])
def test_layers_that_do_not_arrive(
    server: RunningServer, aws: Any, name: str, registry: Registry, fault: int | str
) -> None:
    image = Image([layer({"x": File(str(fault).encode())})], entry_point=["/x"])
    registry.put("late", str(fault), image)
    [digest] = [digest for digest in image.blobs if digest.removeprefix("sha256:") != image.config_digest]
    registry.faults = {digest: fault}
    begin(aws, name, f"{registry.host}/late:{fault}")
    with pytest.raises(WaiterError):
        aws.get_waiter("function_active_v2").wait(FunctionName=name, WaiterConfig=WAIT)
    found = aws.get_function_configuration(FunctionName=name)
    code, text = {
        "corrupt": ("InvalidImage", "arrived with the digest sha256:"),
        "truncate": ("InvalidImage", "was not received: the answer is cut short"),
        500: ("InvalidImage", "it answered 500"),
        403: ("ImageAccessDenied", "does not have permission to pull"),
        404: ("ImageDeleted", "does not exist"),
        "hang": ("InvalidImage", f"was not pulled within {PULL_TIMEOUT_S} s"),
    }[fault]
    assert (found["State"], found["StateReasonCode"]) == ("Failed", code)
    assert text in found["StateReason"]
    with pytest.raises(ClientError):
        server.invoke(name, "x")
    registry.faults = {}
    aws.delete_function(FunctionName=name)


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (Layer(tar({"x": File(b"x")})[:700]), "it ends in the middle"),
        (Layer(b"no tar" * 200), "a header whose checksum is wrong|a header without a checksum"),
        (layer({"../../x": File(b"x")}), "leads out of the image"),
        (layer([("a", link("/etc")), ("a/x", File(b"x"))]), "something stands below 'a'"),
    ],
)
def test_layers_that_cannot_be_unpacked(aws: Any, name: str, shelf: Path, content: Layer, text: str) -> None:
    image = Image([content], entry_point=["/x"])
    begin(aws, name, image.layout(shelf / re.sub(r"\W", "-", name)))
    with pytest.raises(WaiterError):
        aws.get_waiter("function_active_v2").wait(FunctionName=name, WaiterConfig=WAIT)
    found = aws.get_function_configuration(FunctionName=name)
    assert found["StateReasonCode"] == "InvalidImage"
    assert re.search(text, found["StateReason"]), found["StateReason"]


def test_a_layer_that_is_not_what_its_configuration_says(aws: Any, name: str, shelf: Path) -> None:
    image = Image([layer({"x": File(b"x")})], entry_point=["/x"], diff_ids=["sha256:" + "0" * 64])
    begin(aws, name, image.layout(shelf / name))
    with pytest.raises(WaiterError):
        aws.get_waiter("function_active_v2").wait(FunctionName=name, WaiterConfig=WAIT)
    assert "and not to sha256:000" in aws.get_function_configuration(FunctionName=name)["StateReason"]


# -- paddock images


def paddock(server: RunningServer, *arguments: str) -> str:
    command = [sys.executable, "-m", "paddock", "images", *arguments, "--endpoint", server.endpoint]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_list_and_prune(server: RunningServer, aws: Any, name: str, program: bytes, shelf: Path) -> None:
    base = app(program)
    image, other = marked(base, "listed"), marked(base, "left over")
    uri = image.layout(shelf / name)
    unused = other.layout(shelf / f"{name}-left-over")
    create(aws, name, uri)
    create(aws, f"{name}-2", unused)
    assert server.invoke(f"{name}-2", "read /mark")[0] == "left over"

    def entry(of: str) -> dict[str, Any]:
        [found] = [one for one in json.loads(paddock(server, "--json")) if one["reference"] == of]
        return dict(found)

    listed = entry(uri)
    assert listed["digest"] == image.digest
    assert listed["size_bytes"] == sum(len(one.blob) for one in image.layers)
    assert listed["shared_bytes"] == len(base.layers[0].blob)
    assert [arn.rpartition("function:")[2] for arn in listed["functions"]] == [f"{name}:$LATEST"]
    [line] = [line for line in paddock(server).splitlines() if line.startswith(uri)]
    assert image.digest.removeprefix("sha256:")[:12] in line
    assert line.endswith(f"  {name}:$LATEST")
    aws.delete_function(FunctionName=f"{name}-2")
    [line] = [line for line in paddock(server).splitlines() if line.startswith(unused)]
    assert "none (see `paddock images prune`)" in line
    removed = paddock(server, "prune")
    assert f"removed oci:{shelf / name}-left-over@{other.digest}" in removed
    assert "freed" in removed
    assert entry(uri) == listed | {"shared_bytes": entry(uri)["shared_bytes"]}
    assert unused not in paddock(server)
    assert server.invoke(name, "read /mark")[0] == "listed"
    blobs = {path.name for path in (server.data_dir / "server/images/blobs").rglob("*") if path.is_file()}
    assert {digest.removeprefix("sha256:") for digest in image.blobs} & blobs
    gone = other.layers[-1].blob
    assert hashlib.sha256(gone).hexdigest() not in blobs


def test_a_function_cannot_ask_what_the_command_line_asks(server: RunningServer, name: str) -> None:
    source = """
import os, urllib.error, urllib.request

def handler(event, context):
    request = urllib.request.Request(os.environ["AWS_ENDPOINT_URL"] + event, data=b"", method="POST")
    try:
        return urllib.request.urlopen(request).status
    except urllib.error.HTTPError as error:
        return error.code
"""
    server.create(name, {"app.py": source}, Handler="app.handler", Timeout=20)
    for path in ("/_paddock/images", "/_paddock/images/prune"):
        assert server.invoke(name, path)[0] >= 400


TERRAFORM = """
terraform {
  required_providers {
    aws = { source = "hashicorp/aws" }
  }
}

variable "endpoint" {}
variable "image" {}

provider "aws" {
  region                      = "us-east-1"
  access_key                  = "000000000000"
  secret_key                  = "test"
  skip_metadata_api_check     = true
  skip_requesting_account_id  = true
  skip_credentials_validation = true
  endpoints {
    lambda = var.endpoint
  }
}

resource "aws_lambda_function" "app" {
  function_name = "terraformed-image"
  role          = "arn:aws:iam::000000000000:role/app"
  package_type  = "Image"
  image_uri     = var.image
  publish       = true
  memory_size   = 512
  image_config {
    command = ["from", "terraform"]
  }
}
"""


@pytest.mark.timeout(900)
def test_terraform_makes_a_function_of_an_image(
    server: RunningServer, aws: Any, program: bytes, registry: Registry, tmp_path: Path
) -> None:
    terraform = ready(tmp_path, server.endpoint)
    registry.put("terraformed", "1", marked(app(program), "made"))
    (tmp_path / "main.tf").write_text(TERRAFORM)
    given = f"-var=image={registry.host}/terraformed:1"
    terraform("init")
    terraform("apply", "-auto-approve", given)
    terraform("plan", "-detailed-exitcode", given)  # status 2 would be a difference
    assert server.invoke("terraformed-image", "args")[0] == "/app/probe|from|terraform|"
    assert server.invoke("terraformed-image", "read /mark", Qualifier="1")[0] == "made"
    terraform("destroy", "-auto-approve", given)
    with pytest.raises(ClientError, match="ResourceNotFound"):
        aws.get_function(FunctionName="terraformed-image")
