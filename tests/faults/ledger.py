"""Event mode and queues while the server and functions are killed at random: a ledger of acknowledged and processed.

    clients --SendMessage--> jobs --mapping--> worker --SendMessage from inside--> done
    clients --Invoke Event--> teller --OnSuccess--> told
    clients --Publish--> topic --subscription--> noted
    clients --PutEvents--> rule --target--> noted
    clients --CreateSchedule, seconds ahead--> tick --target--> noted

What was acknowledged to a client must appear in `done`, `told` or `noted`, however often the server (kill -9, then
started again) or a function's process was killed in between. More than once is allowed, and counted; never is not.
"""

from __future__ import annotations

import contextlib
import json
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from tests.soak.kernel import kill, runtimes_of, zygotes_of
from tests.support.server import ROLE, RunningServer

SETTINGS = {"cpu_share": "off", "network": "none", "cells_ready_per_runtime": 4}
WORKER = """
import boto3, os
sqs = boto3.client("sqs")
def handler(event, context):
    url = sqs.get_queue_url(QueueName="done")["QueueUrl"]
    entries = [{"Id": str(number), "MessageBody": record["body"]} for number, record in enumerate(event["Records"])]
    answer = sqs.send_message_batch(QueueUrl=url, Entries=entries)
    return {"batchItemFailures": [{"itemIdentifier": event["Records"][int(one["Id"])]["messageId"]}
                                  for one in answer.get("Failed", [])]}
"""
TELLER = "def handler(event, context):\n    return event['n']\n"
GONE = (BotoCoreError, ClientError, ConnectionError)
PAUSE_S = 0.02
PATIENCE_S = 240.0
PENDING_MAX = 150
AHEAD_S = 6
"""How far ahead of its creation a schedule is due."""

ROADS = ("topic", "rule", "schedule")
NOTED = "arn:aws:sqs:us-east-1:000000000000:noted"


@dataclass(kw_only=True)
class Ledger:
    """Numbers that clients were acknowledged, and how often each was seen at the end of its way."""

    jobs: set[int] = field(default_factory=set)
    events: set[int] = field(default_factory=set)
    done: Counter[int] = field(default_factory=Counter)
    told: Counter[int] = field(default_factory=Counter)
    sent: dict[str, set[int]] = field(default_factory=lambda: {road: set() for road in ROADS})
    noted: dict[str, Counter[int]] = field(default_factory=lambda: {road: Counter() for road in ROADS})
    kills: Counter[str] = field(default_factory=Counter)

    def lost(self) -> list[str]:
        jobs = [f"message {number}" for number in sorted(self.jobs - set(self.done))]
        events = [f"event {number}" for number in sorted(self.events - set(self.told))]
        return jobs + events + [f"{road} {number}" for road in ROADS for number in sorted(self._missing(road))]

    def pending(self) -> int:
        roads = sum(len(self._missing(road)) for road in ROADS)
        return len(self.jobs - set(self.done)) + len(self.events - set(self.told)) + roads

    def _missing(self, road: str) -> set[int]:
        return self.sent[road] - set(self.noted[road])

    def text(self) -> str:
        again = {
            name: sum(count - 1 for count in seen.values())
            for name, seen in (("messages", self.done), ("events", self.told), *self.noted.items())
        }
        roads = ", ".join(f"{len(self.sent[road])} by {road}" for road in ROADS)
        return (
            f"kills: {dict(self.kills)}; acknowledged: {len(self.jobs)} messages, {len(self.events)} events, {roads}; "
            f"lost: {len(self.lost())}; more than once: {again}"
        )


class Faults:
    """One run. settings: SETTINGS are what `server` must have been made with."""

    def __init__(self, server: RunningServer, kills: int, seed: int) -> None:
        self.ledger = Ledger()
        self._server = server
        self._kills = kills
        self._chance = random.Random(seed)
        self._numbers: Iterator[int] = iter(range(10**9))
        self._over = threading.Event()
        self._drained = threading.Event()

    def run(self) -> Ledger:
        self._prepare()
        threads = [
            threading.Thread(target=self._repeat, args=(work, until))
            for work, until in (
                (self._send, self._over),
                (self._invoke, self._over),
                (lambda sqs, _: self._collect(sqs, "done", self._seen_job), self._drained),
                (lambda sqs, _: self._collect(sqs, "told", self._seen_event), self._drained),
                (lambda sqs, _: self._take_roads(), self._over),
                (lambda sqs, _: self._collect(sqs, "noted", self._seen_noted), self._drained),
            )
        ]
        for thread in threads:
            thread.start()
        try:
            while self.ledger.kills.total() < self._kills:  # a function that is not there cannot be killed
                time.sleep(self._chance.uniform(0.05, 0.6))
                self._kill()
        finally:
            self._over.set()
            deadline = time.monotonic() + PATIENCE_S
            while self.ledger.pending() and time.monotonic() < deadline:
                time.sleep(0.1)
            self._drained.set()
            for thread in threads:
                thread.join()
        return self.ledger

    def _prepare(self) -> None:
        sqs, lambda_ = self._server.client("sqs"), self._server.client("lambda")
        statement = {"Effect": "Allow", "Principal": "*", "Action": "sqs:SendMessage", "Resource": "*"}
        policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        for name in ("jobs", "done", "told", "noted"):
            sqs.create_queue(QueueName=name, Attributes={"VisibilityTimeout": "4", "Policy": policy})
        self._prepare_roads()
        self._server.create("worker", WORKER, Timeout=3, MemorySize=512)
        told = "arn:aws:sqs:us-east-1:000000000000:told"
        self._server.create("teller", TELLER, Timeout=3)
        lambda_.put_function_event_invoke_config(
            FunctionName="teller", DestinationConfig={"OnSuccess": {"Destination": told}}
        )
        lambda_.create_event_source_mapping(
            FunctionName="worker",
            EventSourceArn=told.replace(":told", ":jobs"),
            BatchSize=5,
            FunctionResponseTypes=["ReportBatchItemFailures"],
        )

    def _prepare_roads(self) -> None:
        sns, events = self._server.client("sns"), self._server.client("events")
        self._topic = sns.create_topic(Name="topic")["TopicArn"]
        attributes = {"RawMessageDelivery": "true"}
        sns.subscribe(TopicArn=self._topic, Protocol="sqs", Endpoint=NOTED, Attributes=attributes)
        events.put_rule(Name="rule", EventPattern='{"source":["faults"]}')
        events.put_targets(Rule="rule", Targets=[{"Id": "1", "Arn": NOTED, "InputPath": "$.detail"}])

    def _repeat(self, work: Callable[[Any, Any], None], until: threading.Event) -> None:
        """With clients of the server that runs now, again and again; a server that is gone is waited for."""
        while not until.is_set():
            endpoint = self._server.endpoint
            sqs, lambda_ = self._server.client("sqs"), self._server.client("lambda")
            with contextlib.suppress(*GONE):
                while not until.is_set() and self._server.endpoint == endpoint:
                    work(sqs, lambda_)
            until.wait(PAUSE_S)

    def _send(self, sqs: Any, _: Any) -> None:
        if self.ledger.pending() > PENDING_MAX:
            self._over.wait(PAUSE_S)
            return
        number = next(self._numbers)
        url = f"{self._server.endpoint}/000000000000/jobs"
        sqs.send_message(QueueUrl=url, MessageBody=str(number))
        self.ledger.jobs.add(number)

    def _invoke(self, _: Any, lambda_: Any) -> None:
        if self.ledger.pending() > PENDING_MAX:
            self._over.wait(PAUSE_S)
            return
        number = next(self._numbers)
        payload = json.dumps({"n": number}).encode()
        lambda_.invoke(FunctionName="teller", InvocationType="Event", Payload=payload)
        self.ledger.events.add(number)

    def _take_roads(self) -> None:
        """One number along each road, with the clients of the server that runs now."""
        endpoint = self._server.endpoint
        sns, events, scheduler = (self._server.client(name) for name in ("sns", "events", "scheduler"))
        while not self._over.is_set() and self._server.endpoint == endpoint:
            if self.ledger.pending() > PENDING_MAX:
                self._over.wait(PAUSE_S)
                continue
            number = next(self._numbers)
            text = {road: json.dumps({"road": road, "n": number}) for road in ROADS}
            sns.publish(TopicArn=self._topic, Message=text["topic"])
            self.ledger.sent["topic"].add(number)
            put = events.put_events(Entries=[{"Source": "faults", "DetailType": "d", "Detail": text["rule"]}])
            if not put["FailedEntryCount"]:
                self.ledger.sent["rule"].add(number)
            began = datetime.now(UTC)
            due = began + timedelta(seconds=AHEAD_S)
            scheduler.create_schedule(
                Name=f"s{number}", ScheduleExpression=f"at({due:%Y-%m-%dT%H:%M:%S})",
                FlexibleTimeWindow={"Mode": "OFF"}, ActionAfterCompletion="DELETE",
                Target={"Arn": NOTED, "RoleArn": ROLE, "Input": text["schedule"]},
            )  # fmt: skip
            if datetime.now(UTC) - began < timedelta(seconds=AHEAD_S - 2):  # else its moment may have passed before
                self.ledger.sent["schedule"].add(number)

    def _seen_noted(self, body: str) -> None:
        found = json.loads(body)
        self.ledger.noted[found["road"]][found["n"]] += 1

    def _collect(self, sqs: Any, queue: str, seen: Callable[[str], None]) -> None:
        url = f"{self._server.endpoint}/000000000000/{queue}"
        found = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, WaitTimeSeconds=1).get("Messages", ())
        for one in found:
            seen(one["Body"])
        if found:
            entries = [{"Id": str(n), "ReceiptHandle": one["ReceiptHandle"]} for n, one in enumerate(found)]
            sqs.delete_message_batch(QueueUrl=url, Entries=entries)

    def _seen_job(self, body: str) -> None:
        self.ledger.done[int(body)] += 1

    def _seen_event(self, body: str) -> None:
        self.ledger.told[json.loads(body)["responsePayload"]] += 1

    def _kill(self) -> None:
        if self._chance.random() < 0.5:
            self._server.kill()
            self._server.start()
            self.ledger.kills["server"] += 1
            return
        zygotes = zygotes_of(self._server)
        runtimes = [(runtime, zygote) for zygote in zygotes for runtime in runtimes_of(zygote)]
        if runtimes and kill(*self._chance.choice(runtimes)):
            self.ledger.kills["function"] += 1
