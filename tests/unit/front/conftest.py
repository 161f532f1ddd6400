"""A Front with fake services on botocore's real models, behind a real HttpServer on loopback."""

from __future__ import annotations

import asyncio
import itertools
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import ModuleType
from typing import Any

import boto3
import pytest
from botocore.config import Config

from paddock.front.access import AccessRecord
from paddock.front.app import Front, FrontSettings
from paddock.model.errors import ResourceNotFound, TooManyRequests
from paddock.services.service import Call, Mount, Reply, Service
from paddock.wire.http1 import HttpLimits, HttpServer


@dataclass
class FakeDesk:
    """What the fake operations saw, and what they wait for."""

    calls: list[Call] = field(default_factory=list)
    has_task: list[bool] = field(default_factory=list)
    entered: asyncio.Event = field(default_factory=asyncio.Event)
    hold: asyncio.Event = field(default_factory=asyncio.Event)


async def get_caller_identity(desk: FakeDesk, call: Call) -> dict[str, Any]:
    desk.calls.append(call)
    return {"Account": call.caller.account, "Arn": call.caller.arn, "UserId": call.caller.access_key_id}


async def list_functions(desk: FakeDesk, call: Call) -> dict[str, Any]:
    desk.calls.append(call)
    return {"Functions": [{"FunctionName": call.caller.region}]}


async def create_function(desk: FakeDesk, call: Call) -> dict[str, Any]:
    desk.calls.append(call)
    return {"FunctionName": call.params["FunctionName"], "CodeSize": len(call.params["Code"]["ZipFile"])}


async def get_function(desk: FakeDesk, call: Call) -> dict[str, Any]:
    raise ResourceNotFound("Function not found: x")


async def invoke(desk: FakeDesk, call: Call) -> Reply:
    desk.calls.append(call)
    desk.has_task.append(asyncio.current_task() is not None)
    if call.params.get("InvocationType") == "Event":
        raise TooManyRequests("ConcurrentInvocationLimitExceeded")
    return Reply({"StatusCode": 200, "Payload": call.params.get("Payload", b"")}, (("X-Paddock", "yes"),))


async def get_policy(desk: FakeDesk, call: Call) -> None:
    raise RuntimeError("the password is hunter2")


async def get_account_settings(desk: FakeDesk, call: Call) -> dict[str, Any]:
    desk.entered.set()
    await desk.hold.wait()
    return {}


async def list_tags(desk: FakeDesk, call: Call) -> dict[str, Any]:
    raise TimeoutError("some connection of ours")


async def describe_log_groups(desk: FakeDesk, call: Call) -> None:
    return None


def module_of(*functions: Any) -> ModuleType:
    """A module as services have them: operations_of takes only what a module itself defines."""
    module = ModuleType(functions[0].__module__)
    for function in functions:
        setattr(module, function.__name__, function)
    return module


LAMBDA = module_of(list_functions, create_function, get_function, invoke, get_policy, get_account_settings, list_tags)


LAMBDA_SERVICE = Service(
    name="lambda",
    modules=(LAMBDA,),
    not_yet=frozenset({"CreateAlias"}),
    self_limited=frozenset({"Invoke"}),
    light=frozenset({"Invoke", "GetFunction"}),
)


class House:
    """The running server, and clients for it."""

    def __init__(self, front: Front, port: int, desk: FakeDesk, records: list[AccessRecord]) -> None:
        self.front = front
        self.port = port
        self.desk = desk
        self.records = records

    async def ask(self, service: str, method: str, *, key: str = "test", region: str = "eu-west-1", **args: Any) -> Any:
        """A boto3 call, made in a thread."""

        def call() -> Any:
            client = boto3.client(
                service,
                endpoint_url=f"http://127.0.0.1:{self.port}",
                region_name=region,
                aws_access_key_id=key,
                aws_secret_access_key="secret",
                config=Config(retries={"total_max_attempts": 1}, read_timeout=20),
            )
            try:
                return getattr(client, method)(**args)
            finally:
                client.close()

        return await asyncio.to_thread(call)

    async def raw(self, data: bytes) -> tuple[int, dict[str, str], bytes]:
        """Status, header fields and body of the answer to one request, closed afterwards."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(data)
        got = await reader.read()
        writer.close()
        await writer.wait_closed()
        head, _, body = got.partition(b"\r\n\r\n")
        first, *lines = head.decode().split("\r\n")
        return int(first.split()[1]), {k.lower(): v for k, v in (line.split(": ", 1) for line in lines)}, body


@pytest.fixture
def house(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    for name in ("AWS_PROFILE", "AWS_ENDPOINT_URL", "AWS_CA_BUNDLE", "HTTP_PROXY", "http_proxy", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)

    @asynccontextmanager
    async def open_house(**settings: Any) -> AsyncIterator[House]:
        desk, records = FakeDesk(), []
        numbers = itertools.count(1)
        front = Front(
            [
                Mount(Service(name="sts", modules=(module_of(get_caller_identity),), not_yet=frozenset()), desk),
                Mount(LAMBDA_SERVICE, desk),
                Mount(Service(name="logs", modules=(module_of(describe_log_groups),), not_yet=frozenset()), desk),
            ],
            FrontSettings(**settings),
            new_id=lambda: f"00000000-0000-0000-0000-{next(numbers):012}",
            health=lambda: {"status": "running", "version": "1.2.3", "services": {"lambda": "available"}},
            record=records.append,
            monotonic=asyncio.get_running_loop().time,
        )
        sock = socket.socket()
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
        now = datetime(2026, 5, 4, tzinfo=UTC)
        server = await HttpServer.start(
            front.handle, [sock], limits=HttpLimits(), now=lambda: now, is_light=front.is_light
        )
        try:
            yield House(front, port, desk, records)
        finally:
            await server.close(drain_s=5.0)

    return open_house
