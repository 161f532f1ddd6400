"""The AWS CLI and boto3 against logs, iam and sts, through the real front and the real stores."""

from __future__ import annotations

import asyncio
import json
import socket
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import boto3

from paddock.backends.local.clock import SystemClock
from paddock.backends.local.ids import SystemIds
from paddock.backends.sql.sqlite import SqliteStore
from paddock.backends.sql.statements import load_catalogue, load_logs
from paddock.control.keys import Keys
from paddock.control.sessions import Sessions
from paddock.front.app import Front, FrontSettings
from paddock.model.log import LogEvent, LogStreamRef
from paddock.model.sealing import KEY_BYTES
from paddock.observe.invocation_log import epoch_ms
from paddock.observe.logbook import LogBook
from paddock.services import iam, logs, sts
from paddock.services.service import Mount
from paddock.wire.http1 import HttpServer
from paddock.wire.http1_limits import HttpLimits

ACCOUNT = "000000000000"
GROUP = "/aws/lambda/f"
STREAM = "2026/01/15/[$LATEST]" + "0" * 32
AWS = Path(sys.executable).with_name("aws")


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """A server on loopback, its LogBook, and the CLI pointed at it."""

    book: LogBook
    clock: SystemClock
    environment: dict[str, str]

    def log(self, message: str) -> None:
        ref = LogStreamRef(account=ACCOUNT, region="us-east-1", group=GROUP, stream=STREAM)
        self.book.put(ref, [LogEvent(epoch_ms(self.clock.now()), message)])

    async def aws(self, *arguments: str) -> tuple[int | None, str, str]:
        """(exit status, standard output, standard error)"""
        process = await asyncio.create_subprocess_exec(
            sys.executable, str(AWS), *arguments, env=self.environment,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        out, err = await process.communicate()
        return process.returncode, out.decode(), err.decode()


def play(tmp_path: Path, story: Callable[[World], Awaitable[None]]) -> None:
    async def run() -> None:
        clock, ids = SystemClock(), SystemIds()
        catalogue = await SqliteStore.open(tmp_path / "paddock.db", statements=load_catalogue())
        log_store = await SqliteStore.open(tmp_path / "logs.db", statements=load_logs())
        book = LogBook(store=log_store, clock=clock)
        book.start()
        sessions = Sessions(Keys(store=catalogue, master=bytes(KEY_BYTES), clock=clock, ids=ids), clock, ids)
        mounts = [
            Mount(
                sts.SERVICE,
                sts.Desk(roles=iam.Roles(catalogue), sessions=sessions, clock=clock, default_account=ACCOUNT),
            ),
            Mount(iam.SERVICE, iam.Desk(store=catalogue, clock=clock, ids=ids, managed=iam.load_managed())),
            Mount(logs.SERVICE, logs.Desk(store=log_store, book=book, clock=clock)),
        ]
        front = Front(
            mounts, FrontSettings(), new_id=ids.uuid, health=dict, record=lambda record: None, monotonic=clock.monotonic
        )
        listening = socket.create_server(("127.0.0.1", 0))
        port = listening.getsockname()[1]
        server = await HttpServer.start(front.handle, [listening], limits=HttpLimits(), now=clock.now)
        environment = {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}", "AWS_ACCESS_KEY_ID": "test", "HOME": str(tmp_path),
            "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1", "AWS_MAX_ATTEMPTS": "1",
        }  # fmt: skip
        try:
            await story(World(book=book, clock=clock, environment=environment))
        finally:
            await server.close(1.0)
            await book.stop()
            await log_store.close()
            await catalogue.close()

    asyncio.run(run())


def tail_once(world: World, seen: set[str], since_ms: int) -> list[str]:
    """What `aws logs tail` asks each time (only version 2 of the CLI has it): all pages, without known events."""
    client = boto3.client(
        "logs", endpoint_url=world.environment["AWS_ENDPOINT_URL"], region_name="us-east-1",
        aws_access_key_id="test", aws_secret_access_key="test",
    )  # fmt: skip
    pages = client.get_paginator("filter_log_events").paginate(
        logGroupName=GROUP, interleaved=True, startTime=since_ms, PaginationConfig={"PageSize": 2}
    )
    fresh = [event for page in pages for event in page["events"] if event["eventId"] not in seen]
    seen.update(event["eventId"] for event in fresh)
    client.close()
    return [event["message"] for event in fresh]


def test_following_as_logs_tail_does(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        since_ms, seen = epoch_ms(world.clock.now()) - 300_000, set[str]()
        for number in range(5):
            world.log(f"line {number}\n")
        first = await asyncio.to_thread(tail_once, world, seen, since_ms)
        assert first == [f"line {number}\n" for number in range(5)]
        world.log("after\n")
        assert await asyncio.to_thread(tail_once, world, seen, since_ms) == ["after\n"]
        assert await asyncio.to_thread(tail_once, world, seen, since_ms) == []

    play(tmp_path, story)


def test_reading_logs_with_the_cli(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        status, _, err = await world.aws("logs", "filter-log-events", "--log-group-name", GROUP)
        assert status != 0
        assert "(ResourceNotFoundException)" in err
        assert "The specified log group does not exist." in err
        world.log("START RequestId: 1 Version: $LATEST\n")
        world.log("REPORT RequestId: 1\tDuration: 1.00 ms\t\n")
        _, out, err = await world.aws(
            "logs", "filter-log-events", "--log-group-name", GROUP, "--interleaved", "--filter-pattern", "REPORT"
        )
        assert err == ""
        (event,) = json.loads(out)["events"]
        assert event["message"] == "REPORT RequestId: 1\tDuration: 1.00 ms\t\n"
        assert event["logStreamName"] == STREAM
        _, out, _ = await world.aws(
            "logs", "get-log-events", "--log-group-name", GROUP, "--log-stream-name", STREAM, "--limit", "1"
        )
        assert [each["message"] for each in json.loads(out)["events"]] == [event["message"]]

    play(tmp_path, story)


def test_a_role_for_a_function(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        _, out, _ = await world.aws("sts", "get-caller-identity")
        assert json.loads(out)["Account"] == ACCOUNT
        trust = json.dumps(
            {
                "Version": "2012-10-17",
                "Statement": {
                    "Effect": "Allow",
                    "Principal": {"Service": "lambda.amazonaws.com"},
                    "Action": "sts:AssumeRole",
                },
            }
        )
        _, out, err = await world.aws("iam", "create-role", "--role-name", "r", "--assume-role-policy-document", trust)
        assert err == ""
        role = json.loads(out)["Role"]
        assert role["Arn"] == f"arn:aws:iam::{ACCOUNT}:role/r"
        assert role["AssumeRolePolicyDocument"] == json.loads(trust)
        basic = "arn:aws:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole"
        status, _, err = await world.aws("iam", "attach-role-policy", "--role-name", "r", "--policy-arn", basic)
        assert (status, err) == (0, "")
        _, out, _ = await world.aws("iam", "list-attached-role-policies", "--role-name", "r")
        assert json.loads(out)["AttachedPolicies"][0]["PolicyArn"] == basic
        _, _, err = await world.aws("iam", "delete-role", "--role-name", "r")
        assert "(DeleteConflict)" in err
        assert "Cannot delete entity, must detach all policies first." in err

    play(tmp_path, story)
