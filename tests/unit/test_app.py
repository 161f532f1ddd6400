"""What the operator is shown: the banner and the health page."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any, cast

import pytest

from paddock import __version__
from paddock.app.event_mode import EventMode
from paddock.app.ground import Start
from paddock.app.serving import health
from paddock.cli.banner import banner
from paddock.config import Config
from paddock.model.function import FunctionVersion
from paddock.model.session import Credentials
from paddock.services import SERVICES
from paddock.worker.configured import settings_of
from paddock.worker.offers import RuntimeOffer
from paddock.worker.worker import Worker

OFFERS = tuple(
    RuntimeOffer(name=name, label=name, family="python", transport="frames") for name in ("python3.11", "python3.12")
)
ENFORCED = {"mode": "root", "groups": 2, "controllers": ["cpu", "memory", "pids"], "egress": True, "no_egress": ""}


@pytest.fixture
def sockets() -> Iterator[tuple[socket.socket, socket.socket]]:
    control, other = socket.socketpair()
    with control, other, socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        yield control, listener


def start(sockets: tuple[socket.socket, socket.socket], **changes: Any) -> Start:
    given: dict[str, Any] = {"config": Config(), "offers": OFFERS, "isolation": ENFORCED, **changes}
    return Start(control=sockets[0], listener=sockets[1], **given)


def test_the_banner_says_where_and_what_is_enforced(sockets: tuple[socket.socket, socket.socket]) -> None:
    lines = banner(start(sockets, config=Config(region="eu-west-1"))).splitlines()
    endpoint = f"http://127.0.0.1:{sockets[1].getsockname()[1]}"
    assert lines[0] == f"Paddock {__version__} is ready."
    assert f"  endpoint    {endpoint}" in lines
    assert "  runtimes    python3.11, python3.12" in lines
    assert any(line.endswith("; limits by cgroup v2 (cpu, memory, pids)") for line in lines)
    assert any("any credentials are accepted" in line for line in lines)
    assert "  network     functions reach the internet, no private address" in lines
    assert lines[-2:] == [
        f"  export AWS_ENDPOINT_URL={endpoint}",
        "  export AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test AWS_DEFAULT_REGION=eu-west-1",
    ]


def test_the_banner_hides_no_lack(sockets: tuple[socket.socket, socket.socket]) -> None:
    lacking = {"mode": "rootless", "groups": 0, "controllers": [], "egress": False, "no_egress": "no privilege"}
    text = banner(start(sockets, offers=(), isolation=lacking))
    assert "network     functions reach nothing but Paddock (no privilege)" in text
    assert "isolation   rootless: " in text
    assert "NO memory, CPU or process limits by cgroup (see `paddock doctor`)" in text
    assert "runtimes    none (see `paddock runtimes`)" in text


def test_an_ipv6_endpoint_has_brackets(sockets: tuple[socket.socket, socket.socket]) -> None:
    class Listener:
        def getsockname(self) -> tuple[str, int, int, int]:
            return "::1", 4566, 0, 0

    shown = start((sockets[0], cast(socket.socket, Listener())))
    assert shown.endpoint == "http://[::1]:4566"


def test_the_health_page(sockets: tuple[socket.socket, socket.socket]) -> None:
    class Counting:
        def counts(self) -> dict[str, int]:
            return {"environments": 3, "idle": 2, "cells": 1}

    class Queues:
        def counts(self) -> dict[str, dict[str, int]]:
            return {"events": {"queued": 4}}

    assert health(start(sockets), cast(Worker, Counting()), cast(EventMode, Queues())) == {
        "status": "running",
        "version": __version__,
        "services": {service.name: "available" for service in SERVICES},
        "isolation": ENFORCED,
        "runtimes": ["python3.11", "python3.12"],
        "environments": 3,
        "idle": 2,
        "cells": 1,
        "events": {"queued": 4},
    }


def nobody(version: FunctionVersion) -> Credentials:
    return Credentials(access_key_id="", secret_access_key="", session_token="")


def test_memory_is_as_set_or_most_of_the_machines(monkeypatch: pytest.MonkeyPatch) -> None:
    assert settings_of(Config(memory_budget_mb=512), 4566, nobody).limits.memory_budget_bytes == 512 << 20
    monkeypatch.setattr("os.sysconf", {"SC_PAGE_SIZE": 4096, "SC_PHYS_PAGES": 1000}.__getitem__)
    settings = settings_of(Config(cpu_share="memory"), 4566, nobody)
    assert settings.limits.memory_budget_bytes == int(4_096_000 * 0.8)
    assert settings.environment.cpu_by_memory
    assert settings.environment.endpoint_port == 4566
