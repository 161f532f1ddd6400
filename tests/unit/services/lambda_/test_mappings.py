"""Event source mappings as a caller sees them, and how they settle while something polls."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from paddock.event_sources.poller import Supervisor
from paddock.event_sources.sqs import SqsSource
from paddock.model.errors import (
    InvalidParameterValue,
    NotYet,
    ResourceConflict,
    ResourceNotFound,
    ServiceError,
)
from paddock.model.event_source import EventSourceMapping
from tests.unit.control.world import ACCOUNT, World
from tests.unit.event_sources.simulation import FakeInvoker, FakeSqs, SimulatedClock
from tests.unit.services.lambda_.test_lambda import ARN, Client, refusal, tell

QUEUE = f"arn:aws:sqs:us-east-1:{ACCOUNT}:q"
WANTED = {"FunctionName": "f", "EventSourceArn": QUEUE}


class Polling:
    """A supervisor over a world's mappings, with a queue and functions that are not real."""

    def __init__(self, world: World) -> None:
        self.clock = SimulatedClock()
        self.sqs = FakeSqs(self.clock)
        self.invoker = FakeInvoker(self.clock)
        self.supervisor = Supervisor(
            mappings=world.mappings,
            source_of=lambda mapping: SqsSource(mapping, self.sqs, self.clock, lambda: 3),
            invoker=self.invoker,
            clock=self.clock,
        )

    async def __aenter__(self) -> Polling:
        self.supervisor.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.supervisor.stop()


async def shown(client: Client, uuid: str, state: str) -> dict[str, Any]:
    """The mapping once it is in that state."""
    for _ in range(2000):
        found: dict[str, Any] = (await client("GetEventSourceMapping", UUID=uuid)).json
        if found["State"] == state:
            return found
        await asyncio.sleep(0.001)
    raise AssertionError(f"never {state}: {found}")


def test_a_minimal_mapping_is_rendered_as_aws_does(tmp_path: Path) -> None:
    async def story(client: Client) -> None:
        await client.created()
        answer = await client("CreateEventSourceMapping", **WANTED)
        assert answer.status == 202
        body = answer.json
        assert body == {
            "UUID": body["UUID"],
            "BatchSize": 10,
            "MaximumBatchingWindowInSeconds": 0,
            "EventSourceArn": QUEUE,
            "FunctionArn": ARN,
            "LastModified": body["LastModified"],
            "State": "Creating",
            "StateTransitionReason": "USER_INITIATED",
            "FunctionResponseTypes": [],
            "EventSourceMappingArn": f"arn:aws:lambda:us-east-1:{ACCOUNT}:event-source-mapping:{body['UUID']}",
        }
        assert isinstance(body["LastModified"], float)

    tell(tmp_path, story)


def test_a_change_does_not_wait_for_the_batch_in_flight_and_its_end_is_not_forgotten(tmp_path: Path) -> None:
    async def story(client: Client) -> None:
        await client.created()
        async with Polling(client.world) as polling:
            polling.invoker.lasts_s = 20.0
            wanted = {**WANTED, "ScalingConfig": {"MaximumConcurrency": 2}, "BatchSize": 1}
            uuid = (await client("CreateEventSourceMapping", **wanted)).json["UUID"]
            await shown(client, uuid, "Enabled")
            polling.sqs.send("a", "b")
            await polling.clock.pass_time(1)
            assert len(polling.invoker.batches) == 2
            await client("UpdateEventSourceMapping", UUID=uuid, MaximumBatchingWindowInSeconds=1)
            await shown(client, uuid, "Enabled")  # both are still running
            polling.sqs.send("c")
            await polling.clock.pass_time(5)
            assert len(polling.invoker.batches) == 2  # two at once are the most, whoever began them
            await client("UpdateEventSourceMapping", UUID=uuid, Enabled=False)
            await shown(client, uuid, "Disabled")
            await client("UpdateEventSourceMapping", UUID=uuid, Enabled=True)
            await polling.clock.pass_time(60)
            assert len(polling.invoker.batches) == 3
            assert polling.invoker.running_max == 2
            assert polling.sqs.messages == []

    tell(tmp_path, story)


def test_what_a_full_disk_kept_from_being_settled_is_settled_later(tmp_path: Path) -> None:
    async def story(client: Client) -> None:
        await client.created()
        settle, refusals = client.world.mappings.settle, [OSError(28, "full"), OSError(28, "full")]

        async def refusing(mapping: EventSourceMapping) -> None:
            if refusals:
                raise refusals.pop()
            await settle(mapping)

        client.world.mappings.settle = refusing  # type: ignore[method-assign]  # the store that refuses is far below
        async with Polling(client.world) as polling:
            uuid = (await client("CreateEventSourceMapping", **WANTED)).json["UUID"]
            await polling.clock.pass_time(30)
            await shown(client, uuid, "Enabled")
            polling.sqs.send("a")
            await polling.clock.pass_time(30)
            assert len(polling.invoker.batches) == 1

    tell(tmp_path, story)


def test_its_life(tmp_path: Path) -> None:
    async def story(client: Client) -> None:
        await client.created()
        async with Polling(client.world) as polling:
            uuid = (await client("CreateEventSourceMapping", **WANTED)).json["UUID"]
            await shown(client, uuid, "Enabled")
            polling.sqs.send("a")
            await polling.clock.pass_time(1)
            assert len(polling.invoker.batches) == 1
            assert (await client("UpdateEventSourceMapping", UUID=uuid, Enabled=False)).json["State"] == "Disabling"
            await shown(client, uuid, "Disabled")
            polling.sqs.send("b")
            await polling.clock.pass_time(60)
            assert len(polling.invoker.batches) == 1
            changed = await client(
                "UpdateEventSourceMapping", UUID=uuid, Enabled=True, BatchSize=100, MaximumBatchingWindowInSeconds=1,
                ScalingConfig={"MaximumConcurrency": 2}, FunctionResponseTypes=["ReportBatchItemFailures"],
                FilterCriteria={"Filters": [{"Pattern": '{"body":["b"]}'}]},
            )  # fmt: skip
            assert changed.json["State"] == "Enabling"
            found = await shown(client, uuid, "Enabled")
            assert found["BatchSize"] == 100
            assert found["ScalingConfig"] == {"MaximumConcurrency": 2}
            assert found["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
            assert found["FilterCriteria"] == {"Filters": [{"Pattern": '{"body":["b"]}'}]}
            await polling.clock.pass_time(3)
            assert len(polling.invoker.batches) == 2
            cleared = await client(
                "UpdateEventSourceMapping", UUID=uuid, ScalingConfig={}, FunctionResponseTypes=[], FilterCriteria={}
            )
            assert cleared.json["State"] == "Updating"
            assert not {"ScalingConfig", "FilterCriteria"} & (await shown(client, uuid, "Enabled")).keys()
            assert (await client("DeleteEventSourceMapping", UUID=uuid)).json["State"] == "Deleting"
            with pytest.raises(ResourceNotFound, match="The resource you requested does not exist"):
                await shown(client, uuid, "Gone")

    tell(tmp_path, story)


def test_what_is_on_its_way_takes_no_change_and_survives_a_restart(tmp_path: Path) -> None:
    async def story(client: Client) -> None:
        await client.created()
        uuid = (await client("CreateEventSourceMapping", **WANTED, Enabled=False)).json["UUID"]
        for operation, verb in (("DeleteEventSourceMapping", "delete"), ("UpdateEventSourceMapping", "update")):
            with pytest.raises(ServiceError, match=f"Cannot {verb} the event source mapping") as caught:
                await client(operation, UUID=uuid)
            assert (caught.value.code, caught.value.status) == ("ResourceInUseException", 400)
        await client.world.restart()
        again = Client(client.world)
        assert (await again("GetEventSourceMapping", UUID=uuid)).json["State"] == "Creating"
        async with Polling(client.world):
            await shown(again, uuid, "Disabled")
            await again("DeleteEventSourceMapping", UUID=uuid)
            with pytest.raises(ResourceNotFound):
                await shown(again, uuid, "Gone")
        await client.world.restart()
        await refusal(Client(client.world)("GetEventSourceMapping", UUID=uuid), ResourceNotFound)

    tell(tmp_path, story)


def test_a_full_disk_leaves_no_mapping(tmp_path: Path) -> None:
    async def story(client: Client) -> None:
        await client.created()
        client.world.store.error = OSError(28, "no space")
        with pytest.raises(OSError, match="no space"):
            await client("CreateEventSourceMapping", **WANTED)
        client.world.store.error = None
        assert (await client("ListEventSourceMappings")).json["EventSourceMappings"] == []

    tell(tmp_path, story)


REFUSED: list[tuple[dict[str, Any], type[ServiceError], str]] = [
    ({"FunctionName": "nobody"}, InvalidParameterValue, "Function does not exist"),
    ({"FunctionName": "f:nobody"}, InvalidParameterValue, "Function does not exist"),
    ({"EventSourceArn": None}, InvalidParameterValue, "Unrecognized event source."),
    ({"EventSourceArn": "arn:aws:s3:::bucket"}, InvalidParameterValue, "Unrecognized event source."),
    ({"EventSourceArn": f"arn:aws:kinesis:us-east-1:{ACCOUNT}:stream/s"}, NotYet, "Kinesis"),
    ({"EventSourceArn": f"arn:aws:dynamodb:us-east-1:{ACCOUNT}:table/t/stream/1"}, NotYet, "DynamoDB"),
    ({"EventSourceArn": f"arn:aws:kafka:us-east-1:{ACCOUNT}:cluster/c/1"}, NotYet, "MSK"),
    ({"EventSourceArn": f"arn:aws:mq:us-east-1:{ACCOUNT}:broker:b"}, NotYet, "MQ"),
    ({"EventSourceArn": f"arn:aws:rds:us-east-1:{ACCOUNT}:cluster:c"}, NotYet, "DocumentDB"),
    ({"SelfManagedEventSource": {"Endpoints": {"KAFKA_BOOTSTRAP_SERVERS": ["a:9092"]}}}, NotYet,
     "SelfManagedEventSource"),
    ({"ProvisionedPollerConfig": {"MinimumPollers": 1}}, NotYet, "ProvisionedPollerConfig"),
    ({"KMSKeyArn": "arn:aws:kms:us-east-1:0:key/k"}, NotYet, "KMSKeyArn"),
    ({"BatchSize": 11}, InvalidParameterValue, "Maximum batch window in seconds must be greater than 0 if maximum"),
    ({"EventSourceArn": f"{QUEUE}.fifo", "MaximumBatchingWindowInSeconds": 1}, InvalidParameterValue, "window"),
    ({"EventSourceArn": f"{QUEUE}.fifo", "BatchSize": 11}, InvalidParameterValue, "Maximum batch size for FIFO"),
    ({"StartingPosition": "LATEST"}, InvalidParameterValue, "Unsupported StartingPosition parameter"),
    ({"DestinationConfig": {"OnSuccess": {"Destination": QUEUE}}}, InvalidParameterValue,
     "Unsupported DestinationConfig parameter for given event source mapping type."),
    *[
        ({"FilterCriteria": {"Filters": [{"Pattern": text}]}}, InvalidParameterValue,
         "Invalid filter pattern definition.")
        for text in ("null", '"x"', '{"eventSource":"aws:sqs"}', '{"eventSource":[]}', "{", "")
    ],
    ({"FilterCriteria": {"Filters": [{"Pattern": '{"a":["b"]}'}] * 6}}, InvalidParameterValue, "number of filters"),
]  # fmt: skip


@pytest.mark.parametrize(("more", "kind", "text"), REFUSED, ids=[str(row[0])[:60] for row in REFUSED])
def test_refusals(tmp_path: Path, more: dict[str, Any], kind: type[ServiceError], text: str) -> None:
    async def story(client: Client) -> None:
        await client.created()
        sent = {name: value for name, value in {**WANTED, **more}.items() if value is not None}
        assert text in await refusal(client("CreateEventSourceMapping", **sent), kind)
        assert (await client("ListEventSourceMappings")).json["EventSourceMappings"] == []

    tell(tmp_path, story)


def test_refusals_of_the_source_and_of_names(tmp_path: Path) -> None:
    async def story(client: Client) -> None:
        await client.created()
        client.world.sources.error = InvalidParameterValue("no queue")
        assert await refusal(client("CreateEventSourceMapping", **WANTED), InvalidParameterValue) == "no queue"
        await refusal(client("UpdateEventSourceMapping", UUID="00000000-0000-4000-8000-000000000000"), ResourceNotFound)
        await refusal(client("DeleteEventSourceMapping", UUID="00000000-0000-4000-8000-000000000000"), ResourceNotFound)

    tell(tmp_path, story)


def test_one_mapping_for_a_queue_and_a_function(tmp_path: Path) -> None:
    async def story(client: Client) -> None:
        await client.created()
        uuid = (await client("CreateEventSourceMapping", **WANTED)).json["UUID"]
        text = await refusal(client("CreateEventSourceMapping", **WANTED), ResourceConflict)
        assert text == (
            f'An event source mapping with SQS arn (" {QUEUE} ") and function (" f ") already exists. '
            f"Please update or delete the existing mapping with UUID {uuid}"
        )

    tell(tmp_path, story)


def test_lists_in_pages_and_tags(tmp_path: Path) -> None:
    async def story(client: Client) -> None:
        await client.created()
        await client.created(FunctionName="g")
        made = [
            (await client("CreateEventSourceMapping", FunctionName=name, EventSourceArn=QUEUE + tail, Tags={"k": name}))
            for name in ("f", "g")
            for tail in ("", "2")
        ]
        uuids = sorted(answer.json["UUID"] for answer in made)
        listed: list[str] = []
        marker: dict[str, str] = {}
        for size in (3, 1):
            page = (await client("ListEventSourceMappings", MaxItems=3, **marker)).json
            assert len(page["EventSourceMappings"]) == size
            listed += [one["UUID"] for one in page["EventSourceMappings"]]
            marker = {"Marker": page.get("NextMarker", "")}
        assert listed == uuids
        assert marker == {"Marker": ""}
        both = (await client("ListEventSourceMappings", FunctionName="g", EventSourceArn=QUEUE)).json
        assert [one["FunctionArn"][-1] for one in both["EventSourceMappings"]] == ["g"]
        arn = made[0].json["EventSourceMappingArn"]
        await client("TagResource", Resource=arn, Tags={"more": "1"})
        await client("UntagResource", Resource=arn, TagKeys=["k"])
        assert (await client("ListTags", Resource=arn)).json["Tags"] == {"more": "1"}

    tell(tmp_path, story)
