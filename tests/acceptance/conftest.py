"""One Paddock for most of the acceptance tests, and names that no two tests share."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.calls import TOOLBOX
from tests.support.server import RunningServer
from tests.support.terraform import Terraform, ready


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    with RunningServer(tmp_path_factory.mktemp("paddock")) as running:
        yield running


@pytest.fixture
def aws(server: RunningServer) -> Any:
    """boto3's client of Lambda."""
    return server.client("lambda")


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    """A function name of this test's own: two modules may have tests of the same name."""
    module = request.node.path.stem.removeprefix("test_")
    return re.sub("[^a-zA-Z0-9_-]", "-", f"{module}-{request.node.name.removeprefix('test_')}")[-64:]


@pytest.fixture
def tool(server: RunningServer, name: str) -> Callable[..., tuple[Any, dict[str, Any]]]:
    """A function of this test's own; call it with statements for it to run: (its result, the whole answer)."""
    server.create(name, TOOLBOX)

    def call(do: str, **options: Any) -> tuple[Any, dict[str, Any]]:
        return server.invoke(name, {"do": do}, **options)

    return call


@pytest.fixture
def terraform(tmp_path: Path, server: RunningServer) -> Terraform:
    """Terraform in the test's own directory."""
    return ready(tmp_path, server.endpoint)
