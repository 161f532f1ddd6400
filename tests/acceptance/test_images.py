"""Functions that are container images: made, run, updated and published through boto3, their images made here."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support import clients
from tests.support.images import DIRECTORY, File, Image, layer, probe
from tests.support.server import ROLE, RunningServer

WAIT = {"Delay": 0.05, "MaxAttempts": 400}


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
def server(tmp_path_factory: pytest.TempPathFactory, shelf: Path) -> Iterator[RunningServer]:
    with RunningServer(tmp_path_factory.mktemp("paddock"), image_directories=str(shelf)) as running:
        yield running


@pytest.fixture
def aws(server: RunningServer) -> Any:
    return server.client("lambda")


def create(aws: Any, name: str, uri: str, **settings: Any) -> dict[str, Any]:
    """Create it and wait until it is what it becomes."""
    aws.create_function(
        FunctionName=name, PackageType="Image", Code={"ImageUri": uri}, Role=ROLE, **{"MemorySize": 512, **settings}
    )
    aws.get_waiter("function_active_v2").wait(FunctionName=name, WaiterConfig=WAIT)
    found: dict[str, Any] = aws.get_function(FunctionName=name)
    return found


def app(program: bytes, **more: Any) -> Image:
    return Image(
        [layer({"app/": DIRECTORY, "app/probe": File(program, 0o755)})], **{"entry_point": ["/app/probe"], **more}
    )


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
